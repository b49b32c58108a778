// Tables of the row ops that are compiled per ISA.
#include "kernels/cpu/isa_impls.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rotate.h"

namespace pelton {

PELTON_ISA_IMPLS(RmsNorm);
PELTON_ISA_IMPLS(LayerNorm);
PELTON_ISA_IMPLS(Binary);
PELTON_ISA_IMPLS(Unary);
PELTON_ISA_IMPLS(QuantizeRows);
PELTON_ISA_IMPLS(Rope);
PELTON_ISA_IMPLS(KvWrite);
PELTON_ISA_IMPLS(RopeKvWrite);
PELTON_ISA_IMPLS(Rotate);

size_t RotateScratchBytes(const RotateArgs& args) {
  return args.out == nullptr ? args.dim * sizeof(float) : 0;
}

}  // namespace pelton
