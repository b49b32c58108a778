#include "kernels/machine/machine_limits.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/arena.h"
#include "kernels/machine/peak_loops.h"

namespace pelton {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Measure>
double Median(Measure measure) {
  std::array<double, 7> rates;
  for (double& rate : rates) rate = measure();
  std::nth_element(rates.begin(), rates.begin() + 3, rates.end());
  return rates[3];
}

double OperationRate(ThreadPool& pool, double (*loop)(size_t) noexcept, size_t rounds) {
  std::vector<double> done(pool.size());
  return Median([&] {
    const double start = Now();
    pool.Run([&](size_t worker) { done[worker] = loop(rounds); });
    const double seconds = Now() - start;
    double all = 0;
    for (const double operations : done) all += operations;
    return all / seconds;
  });
}

}  // namespace

Result<MachineLimits> MeasureMachineLimits(ThreadPool& pool, size_t read_buffer_bytes) {
  constexpr size_t kPiece = 4096;
  const size_t pieces = read_buffer_bytes / kPiece;
  ASSIGN_OR_RETURN(const Arena memory, Arena::Allocate(pieces * kPiece, "memory probe"));
  const PeakLoops& vectors = VectorPeakLoops();
  // Written, so that it is memory and not one page of zeros.
  pool.ParallelFor(pieces, [&](size_t begin, size_t end) {
    std::memset(memory.data() + begin * kPiece, 1, (end - begin) * kPiece);
  });
  MachineLimits limits;
  limits.read_bytes = Median([&] {
    const double start = Now();
    pool.ParallelFor(pieces, [&](size_t begin, size_t end) {
      vectors.read(memory.data() + begin * kPiece, (end - begin) * kPiece);
    });
    return static_cast<double>(pieces * kPiece) / (Now() - start);
  });
  constexpr size_t kVectorRounds = 1'000'000;
  limits.f32_operations = OperationRate(pool, vectors.float_operations, kVectorRounds);
  limits.int8_operations = OperationRate(pool, vectors.integer_operations, kVectorRounds);
  if (const PeakLoops* tiles = TilePeakLoops()) {
    constexpr size_t kTileRounds = 100'000;
    limits.tile_bf16_operations = OperationRate(pool, tiles->float_operations, kTileRounds);
    limits.tile_int8_operations = OperationRate(pool, tiles->integer_operations, kTileRounds);
  }
  return limits;
}

}  // namespace pelton
