"""How fast the cockpit follows a hand: from the mouse to the image that is painted, in a real browser.

    OMP_NUM_THREADS=2 python benchmarks/cockpit.py [--seconds 5] [--ct example chest] [--chromium /usr/bin/chromium]

Server, browser and this script share the machine's cores. The example CT is built in; `chest` is the CT that
`raygrad.load_example_ct("chest")` finds (`RAYGRAD_CHEST_CT`), 512 x 512 pixels a view. A mouse moves 60 times a second
over the first of two views. Each move is followed until an image that answers it, or a later one, has been painted.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

import torch

import raygrad as rg

MOVES_PER_S = 60
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]

WATCH = """
(() => {
  const seen = { moves: {}, painted: [], first: null };
  window.raygradBenchmark = seen;
  let client = 0, moved = 0, waiting = [];
  addEventListener("pointermove", (event) => { moved = event.timeStamp; }, true);
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    const said = JSON.parse(data);
    if (said.do === "drag") seen.moves[said.sequence] = moved;
    return send.call(this, data);
  };
  const painted = (at) => {
    for (const header of waiting) seen.painted.push({ at, ...header });
    waiting = [];
  };
  const after = (data) => {
    if (typeof data === "string") {
      const said = JSON.parse(data);
      if (said.type === "welcome") client = said.client;
      return;
    }
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    if (!header.key.startsWith("drr ")) return;
    if (!waiting.length) requestAnimationFrame(() => {  // what a task after it sees has been painted
      const channel = new MessageChannel();
      channel.port1.onmessage = () => {
        const at = performance.now();
        seen.first ??= performance.timeOrigin + at;
        painted(at);
      };
      channel.port2.postMessage(0);
    });
    const answers = header.answers?.client === client ? header.answers.sequence : 0;
    waiting.push({ view: header.view, fine: header.fine, ms: header.ms, shape: header.shape, sequence: answers });
  };
  Object.defineProperty(WebSocket.prototype, "onmessage", {
    set(listener) {
      this.addEventListener("message", (event) => { listener.call(this, event); after(event.data); });
    },
  });
})();
"""


EXAMPLES = {"example": "thorax", "chest": "chest"}


@dataclass(frozen=True)
class Figures:
    """What a run showed; milliseconds but for the first two and the memory."""

    images_per_s: float
    others_per_s: float
    latencies: list[float]
    made: float
    fine_after: float
    fine_side: int
    first_s: float
    heap_mb: float
    process_mb: float


def serve(name: str) -> None:
    """The child: opens a CT, says when it was read and where the page is, and serves until it is ended."""
    from raygrad._cockpit import OpenXRay, Serving, Session
    from raygrad.formats import View
    from raygrad.geometry import Intrinsics

    subject = rg.load_example_ct(EXAMPLES[name], orientation="AP")
    camera = Intrinsics(sdd=1100.0, height=512, width=512, delx=0.8, dely=0.8)
    xrays = []
    for degrees in (0.0, 90.0):
        rotation = torch.tensor([[degrees, 0.0, 0.0]], dtype=torch.float64)
        translation = torch.tensor([[0.0, 850.0, 0.0]], dtype=torch.float64)
        pose = rg.convert(rotation, translation, parameterization="euler_angles", convention="ZXY", degrees=True)
        view = View(pose, camera)
        with torch.no_grad():
            xrays.append(OpenXRay(f"{degrees:.0f} degrees", view.make_drr(subject)(pose.to(torch.float32)), view))
    subject = rg.load_example_ct(EXAMPLES[name], orientation="AP")  # nothing of it has been prepared yet
    read = time.time()
    serving = Serving(Session(subject, xrays, name))
    print(json.dumps({"url": serving.url, "read": read}), flush=True)
    serving.run(open_browser=False)


def measure(name: str, seconds: float, chromium: str) -> Figures:
    """Drag in a browser for so long."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, __file__, "--serve", name]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            said = json.loads(child.stdout.readline())
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script(WATCH)
            page.goto(said["url"])
            while page.evaluate("raygradBenchmark.first") is None:  # the page's policy lets nothing be evaluated there
                page.wait_for_timeout(50)
            first = page.evaluate("raygradBenchmark.first") / 1000 - said["read"]
            page.wait_for_timeout(1500)
            drag(page, seconds)
            page.wait_for_timeout(1000)
            seen = page.evaluate("raygradBenchmark")
            page.mouse.up()
            return figures(seen, first, *memory(browser, page))
        finally:
            child.terminate()
            child.wait()
            browser.close()


def drag(page, seconds: float) -> None:
    """Along a Lissajous figure about the first view's middle; the button stays down."""
    page.evaluate("raygradBenchmark.painted = []")
    box = page.locator(".pane").first.bounding_box()
    x, y, reach = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 0.12 * box["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    began = time.perf_counter()
    for number in range(int(seconds * MOVES_PER_S)):
        t = number / MOVES_PER_S
        page.mouse.move(x + reach * math.sin(2.1 * t), y + reach * math.sin(3.3 * t))
        time.sleep(max(0.0, began + (number + 1) / MOVES_PER_S - time.perf_counter()))


def figures(seen: dict, first: float, heap: float, process: float) -> Figures:
    """What the page saw, summed up."""
    moves = sorted((int(sequence), at) for sequence, at in seen["moves"].items())
    coarse = [one for one in seen["painted"] if not one["fine"]]
    dragged = sorted((one for one in coarse if one["view"] == 0 and one["sequence"]), key=lambda one: one["at"])
    latencies = []
    for sequence, at in moves:
        answer = next((one["at"] for one in dragged if one["sequence"] >= sequence), math.inf)
        latencies.append(answer - at)
    began, ended = moves[0][1], moves[-1][1]
    during = [one for one in coarse if began <= one["at"] <= ended]
    rates = [len({one["at"] for one in during if (one["view"] == 0) == own}) for own in (True, False)]
    fine = next(one for one in seen["painted"] if one["fine"] and one["view"] == 0 and one["at"] > ended)
    span = (ended - began) / 1000
    made = median(one["ms"] for one in dragged)
    after = fine["at"] - ended
    return Figures(rates[0] / span, rates[1] / span, latencies, made, after, max(fine["shape"]), first, heap, process)


def memory(browser, page) -> tuple[float, float]:
    """The page's JavaScript heap, and what its process has to itself or its share of (PSS), in MB."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = []
    for process in processes:
        if process["type"] == "renderer":
            with open(f"/proc/{process['id']}/smaps_rollup") as lines:
                sizes.append(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024)
    return metrics["JSHeapUsedSize"] / 2**20, max(sizes, default=math.nan)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", metavar="CT")
    parser.add_argument("--ct", nargs="+", default=["example"], choices=["example", "chest"])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    print(f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads, {os.cpu_count()} cores of {platform.machine()}\n")
    heads = ["CT", "images/s of the dragged view", "of the other", "mouse to image: median", "p95", "worst"]
    heads += ["made in", "fine after rest", "first image after the CT", "JS heap", "page's process"]
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    for name in given.ct:
        f = measure(name, given.seconds, given.chromium)
        ordered = sorted(f.latencies)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
        row = [name, f"{f.images_per_s:.0f}", f"{f.others_per_s:.0f}", f"{median(ordered):.0f} ms", f"{p95:.0f} ms"]
        row += [f"{ordered[-1]:.0f} ms", f"{f.made:.0f} ms", f"{f.fine_side} pixels, {f.fine_after:.0f} ms"]
        row += [f"{f.first_s:.2f} s", f"{f.heap_mb:.0f} MB", f"{f.process_mb:.0f} MB"]
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
