#include "kernels/machine/peak_loops.h"

#include "base/cpu_features.h"

namespace pelton {
namespace cpu::generic {
extern const PeakLoops kPeakLoops;
}
namespace cpu::avx2 {
extern const PeakLoops kPeakLoops;
}
namespace cpu::avx512 {
extern const PeakLoops kPeakLoops;
}
namespace cpu::amx {
extern const PeakLoops kPeakLoops;
}

const PeakLoops& VectorPeakLoops() {
  if (CpuFeatures() & kCpuAvx512Vnni) return cpu::avx512::kPeakLoops;
  if (CpuFeatures() & kCpuAvx2) return cpu::avx2::kPeakLoops;
  return cpu::generic::kPeakLoops;
}

const PeakLoops* TilePeakLoops() {
  return (CpuFeatures() & kCpuAmx) != 0 ? &cpu::amx::kPeakLoops : nullptr;
}

}  // namespace pelton
