// Ctrl-C during a march: Python's handlers run in the thread that called, between packets.
#pragma once
#include <nanobind/nanobind.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "watch.hpp"

namespace raygrad {
namespace {

// Lives while the GIL is released. Python runs handlers in its main thread only; asking in another does nothing.
class Signals final : public Watch {
 public:
  bool ended() override {
    if (raised_.load(std::memory_order_relaxed)) return true;
    if (std::this_thread::get_id() != caller_) return false;
    const auto now = Clock::now();
    if (now - asked_ < std::chrono::milliseconds(50)) return false;
    asked_ = now;
    const nanobind::gil_scoped_acquire held;
    if (PyErr_CheckSignals() != 0) raised_.store(true, std::memory_order_relaxed);
    return raised_.load(std::memory_order_relaxed);
  }

  // Throws what a handler raised; with the GIL.
  void pass_on() const {
    if (raised_.load()) throw nanobind::python_error();
  }

 private:
  using Clock = std::chrono::steady_clock;
  const std::thread::id caller_ = std::this_thread::get_id();
  Clock::time_point asked_ = Clock::now();
  std::atomic<bool> raised_{false};
};

}  // namespace
}  // namespace raygrad
