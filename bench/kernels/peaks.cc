#include "bench/kernels/peaks.h"

#include "base/cpu_features.h"

namespace pelton {
namespace cpu::generic {
extern const bench::PeakLoops kPeakLoops;
}
namespace cpu::avx2 {
extern const bench::PeakLoops kPeakLoops;
}
namespace cpu::avx512 {
extern const bench::PeakLoops kPeakLoops;
}

const bench::PeakLoops& bench::WidestPeakLoops() {
  if (CpuFeatures() & kCpuAvx512Vnni) return cpu::avx512::kPeakLoops;
  if (CpuFeatures() & kCpuAvx2) return cpu::avx2::kPeakLoops;
  return cpu::generic::kPeakLoops;
}

}  // namespace pelton
