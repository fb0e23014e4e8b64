// Hits: every crossing of rays with the triangles of a mesh between the rays' ends, in order.
//
// Each thread lists those of some rays that follow one another, and puts them in order; lists then follow one another:
// the same hits with and without a hint, and for any number of threads.
#pragma once
#ifdef _OPENMP
#include <omp.h>
#endif

#include "mesh_bands.hpp"

namespace raygrad {
namespace {

constexpr int64_t RAYS_IN_LIST = 1024;  // where rays are no image

template <class T>
struct HitList {
  MeshHit<T>* data;
  int64_t count, room;
  bool full;  // and no memory to be had

  RAYGRAD_INLINE void add(int64_t ray, int64_t triangle, const Crossing& crossing) {
    if (!(crossing.fraction >= 0 && crossing.fraction <= 1)) return;
    if (count == room && !grow()) return;
    data[count++] = {ray, triangle, T(crossing.fraction), crossing.sign};
  }

  bool grow() {
    if (full) return false;
    const int64_t more = most(64, 2 * room);
    void* moved = std::realloc(data, size_t(more) * sizeof(MeshHit<T>));
    full = !moved;
    if (moved) data = static_cast<MeshHit<T>*>(moved), room = more;
    return moved;
  }
};

template <class T>
struct HitLists {
  int64_t count;
  HitList<T>* list;

  explicit HitLists(int64_t n)
      : count(n), list(static_cast<HitList<T>*>(std::calloc(size_t(most(1, n)), sizeof(HitList<T>)))) {}
  ~HitLists() {
    for (int64_t i = 0; list && i < count; i++) std::free(list[i].data);
    std::free(list);
  }
  HitLists(const HitLists&) = delete;
  HitLists& operator=(const HitLists&) = delete;
};

// Puts hits of the rays from `first` on, those of a ray in the order of triangles, in order.
template <class T>
Status put_in_order(HitList<T>& hits, int64_t first, int64_t rays) {
  if (hits.full) return OUT_OF_MEMORY;
  if (hits.count == 0) return OK;
  Buffer<int64_t> next(rays);
  Buffer<MeshHit<T>> ordered(hits.count);
  if (!next.data || !ordered.data) return OUT_OF_MEMORY;
  for (int64_t i = 0; i < rays; i++) next.data[i] = 0;
  for (int64_t i = 0; i < hits.count; i++) next.data[hits.data[i].ray - first]++;
  for (int64_t i = 0, sum = 0; i < rays; i++) {
    const int64_t own = next.data[i];
    next.data[i] = sum, sum += own;
  }
  for (int64_t i = 0; i < hits.count; i++) ordered.data[next.data[hits.data[i].ray - first]++] = hits.data[i];
  for (int64_t i = 0; i < hits.count; i++) {
    const MeshHit<T> hit = ordered.data[i];
    int64_t place = i;
    for (; place > 0 && hits.data[place - 1].ray == hit.ray && hits.data[place - 1].fraction > hit.fraction; place--)
      hits.data[place] = hits.data[place - 1];
    hits.data[place] = hit;
  }
  return OK;
}

// The hits of a batch entry's rays by `boxes` of pixels, a list for each band.
template <class T>
Status hits_in_image(const MeshProblem<T>& p, int64_t batch, const T* vertices, const PixelBox* boxes,
                     const Bands& bands, HitList<T>* lists) {
  int status = OK;
#pragma omp parallel num_threads(p.threads) reduction(| : status)
  {
    const Buffer<MeshRay> rays(BAND * p.image_width);
    if (!rays.data) status |= OUT_OF_MEMORY;
#pragma omp for schedule(dynamic, 1)
    for (int64_t band = 0; band < bands.count; band++) {
      if (!rays.data || ended(p)) continue;
      const BandWindow window = window_of(p, boxes, bands, band);
      const int64_t first = batch * p.rays + window.top * window.width;
      cross_band(p, batch, vertices, boxes, bands, band, window, rays.data,
                 [&](int64_t place, int64_t triangle, const Triangle&, const Crossing& crossing) {
                   if (rays.data[place].finite()) lists[band].add(first + place, triangle, crossing);
                 });
      status |= put_in_order(lists[band], first, (window.bottom - window.top) * window.width);
    }
  }
  return Status(status);
}

// The same by spheres around runs of triangles, a list for each RAYS_IN_LIST rays.
template <class T>
Status hits_of_rays(const MeshProblem<T>& p, int64_t batch, const T* vertices, const Runs<T>& runs, int64_t count,
                    HitList<T>* lists) {
  int status = OK;
#pragma omp parallel for schedule(dynamic, 1) num_threads(p.threads) reduction(| : status)
  for (int64_t i = 0; i < count; i++) {
    if (ended(p)) continue;
    const int64_t first = i * RAYS_IN_LIST, last = least(p.rays, first + RAYS_IN_LIST);
    for (int64_t number = first; number < last; number++)
      each_crossing(p, vertices, runs, load_mesh_ray(p, batch, number),
                    [&](int64_t triangle, const Triangle&, const Crossing& crossing) {
                      lists[i].add(batch * p.rays + number, triangle, crossing);
                    });
    status |= put_in_order(lists[i], batch * p.rays + first, last - first);
  }
  return Status(status);
}

template <class T>
Status find_mesh_hits(const MeshProblem<T>& p, MeshHit<T>** hits, int64_t* count) {
  *hits = nullptr, *count = 0;
  const int64_t of_rays = (p.rays + RAYS_IN_LIST - 1) / RAYS_IN_LIST;
  const int64_t height = p.world_to_pixel ? p.rays / p.image_width : 0;
  const int64_t each = most(of_rays, (height + BAND - 1) / BAND);
  HitLists<T> lists(p.batch * each);
  Buffer<PixelBox> boxes(p.world_to_pixel ? p.triangles : 0);
  Runs<T> runs(p);
  if (!lists.list || !boxes.data || !runs.sphere.data) return OUT_OF_MEMORY;
  Status status = OK;
  bool ready = false;
  for (int64_t b = 0; b < p.batch && status == OK; b++) {
    const T* vertices = vertices_of(p, b);
    if (boxes_by_hint(p, b, vertices, boxes.data)) {
      const Bands bands(boxes.data, p.triangles, height);
      status = bands.allocated() ? hits_in_image(p, b, vertices, boxes.data, bands, lists.list + b * each)
                                 : OUT_OF_MEMORY;
    } else {
      if (!ready || p.vertex_batch > 1) runs.set(p, vertices);
      ready = true;
      status = hits_of_rays(p, b, vertices, runs, of_rays, lists.list + b * each);
    }
  }
  if (status != OK) return status;
  for (int64_t i = 0; i < lists.count; i++) *count += lists.list[i].count;
  *hits = static_cast<MeshHit<T>*>(std::malloc(size_t(most(1, *count)) * sizeof(MeshHit<T>)));
  if (!*hits) return OUT_OF_MEMORY;
  MeshHit<T>* next = *hits;
  for (int64_t i = 0; i < lists.count; i++) {
    HitList<T>& list = lists.list[i];
    if (list.count) std::memcpy(next, list.data, size_t(list.count) * sizeof(MeshHit<T>));
    next += list.count;
    std::free(list.data), list.data = nullptr;
  }
  return OK;
}

}  // namespace
}  // namespace raygrad
