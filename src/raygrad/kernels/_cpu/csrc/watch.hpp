// Whether somebody wants the work to end: threads ask between pieces of it.
#pragma once

namespace raygrad {

struct Watch {
  virtual bool ended() = 0;  // true from the first time on

 protected:
  ~Watch() = default;
};

}  // namespace raygrad
