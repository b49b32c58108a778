#include "kernels/machine/tune_matmul.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/arena.h"
#include "base/checked_math.h"
#include "base/cpu_features.h"

namespace pelton {
namespace {

constexpr size_t kCols = 2048;
constexpr size_t kRows[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512};
constexpr size_t kMostRows = 512;
constexpr size_t kMostWeightBytes = size_t{96} << 20;
// Of one matmul; enough for a few milliseconds, and for every worker to have units.
constexpr size_t kOperations = size_t{4} << 30;
constexpr size_t kFewestColumns = 2048;
constexpr double kWorthwhile = 0.95;

// Those that precede the first that is for all rows; the others are for lesser processors.
std::vector<const MatmulImpl*> Candidates(DType weights) {
  std::vector<const MatmulImpl*> candidates;
  for (const MatmulImpl& impl : MatmulImpls()) {
    if ((impl.required_features & ~CpuFeatures()) != 0 || !impl.supports(true, weights)) continue;
    candidates.push_back(&impl);
    if (impl.min_rows == 1) break;
  }
  return candidates;
}

// Output columns of the weights that so many rows are multiplied by.
size_t ColumnsFor(DType weights, size_t rows) {
  const size_t panel_bytes = PanelBytes(weights, kCols).value_or(1);
  const size_t most = kMostWeightBytes / panel_bytes * kPanelRows;
  const size_t wanted = kOperations / (2 * kCols * rows);
  return std::clamp(wanted, kFewestColumns, std::max(most, kFewestColumns)) / 64 * 64;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<DType> TunableWeights() {
  std::vector<DType> out;
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::optional<PanelFormat> format = PanelFormatOf(dtype);
    if (format.has_value() && format->code_bits != 0 && Candidates(dtype).size() > 1) {
      out.push_back(dtype);
    }
  }
  return out;
}

Result<MatmulTimings> TimeMatmuls(ThreadPool& pool, DType weights, size_t rounds) {
  MatmulTimings timings{.weights = weights, .impls = Candidates(weights)};
  MatmulArgs args{};
  args.weights = {.data = nullptr, .dtype = weights, .rows = 0, .cols = kCols};
  size_t out_bytes = 0;
  size_t most_columns = 0;
  for (const size_t rows : kRows) {
    const size_t columns = ColumnsFor(weights, rows);
    most_columns = std::max(most_columns, columns);
    out_bytes = std::max(out_bytes, rows * columns * sizeof(float));
  }
  args.rows = kMostRows;
  args.weights.rows = most_columns;
  const std::byte any{};
  args.x_quantized = &any;  // until there is memory for it
  const size_t scratch_bytes = RoundUp(MatmulScratchBytes(args), 64);
  const size_t weight_bytes = PackedBytes(weights, most_columns, kCols).value_or(0);
  const size_t x_bytes = kMostRows * QuantizedRows::RowBytes(kCols);
  ASSIGN_OR_RETURN(
      const Arena memory,
      Arena::Allocate(weight_bytes + x_bytes + RoundUp(out_bytes, 64) + pool.size() * scratch_bytes,
                      "matmuls that are timed"));
  // Weights of bytes that are no subnormals or NaNs in any format: 0.3 as f16. Rows of zeros,
  // written so that they are memory of their own.
  std::byte* at = memory.data();
  pool.ParallelFor(weight_bytes,
                   [&](size_t begin, size_t end) { std::memset(at + begin, 0x35, end - begin); });
  std::memset(at + weight_bytes, 0, x_bytes);
  args.weights.data = at;
  args.x_quantized = at + weight_bytes;
  args.out = reinterpret_cast<float*>(at + weight_bytes + x_bytes);
  std::byte* const scratch = at + weight_bytes + x_bytes + RoundUp(out_bytes, 64);
  const auto time = [&](const MatmulImpl& impl) {
    const size_t units = MatmulUnits(args);
    const double start = Now();
    pool.Run([&](size_t worker) {
      impl.run(args, units * worker / pool.size(), units * (worker + 1) / pool.size(),
               scratch + worker * scratch_bytes);
    });
    return Now() - start;
  };
  for (const size_t rows : kRows) {
    args.rows = rows;
    args.weights.rows = args.out_stride = ColumnsFor(weights, rows);
    std::vector<std::vector<double>> seconds(timings.impls.size());
    for (size_t round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < timings.impls.size(); ++i) {
        seconds[i].push_back(time(*timings.impls[i]));
      }
    }
    MatmulTimings::OfRows& of = timings.rows.emplace_back();
    of.rows = rows;
    of.operations =
        2.0 * static_cast<double>(rows * kCols) * static_cast<double>(args.weights.rows);
    for (const std::vector<double>& each : seconds) of.seconds.push_back(Median(each));
  }
  return timings;
}

std::vector<MatmulChoice> FastestMatmuls(const MatmulTimings& timings) {
  std::vector<MatmulChoice> choices;
  for (const MatmulRows kind : {MatmulRows::kGenerated, MatmulRows::kAny}) {
    const MatmulImpl* last = nullptr;
    for (const MatmulTimings::OfRows& of : timings.rows) {
      const MatmulImpl* best = &ChooseQuantizedMatmul(timings.weights, of.rows, kind);
      const auto found = std::ranges::find(timings.impls, best);
      double least =
          found == timings.impls.end()
              ? 0
              : kWorthwhile * of.seconds[static_cast<size_t>(found - timings.impls.begin())];
      for (size_t i = 0; i < timings.impls.size(); ++i) {
        if (kind == MatmulRows::kGenerated && !timings.impls[i]->invariant) continue;
        if (of.seconds[i] >= least) continue;
        least = of.seconds[i];
        best = timings.impls[i];
      }
      if (best != last) choices.push_back({timings.weights, kind, of.rows, best->name});
      last = best;
    }
  }
  return choices;
}

}  // namespace pelton
