#pragma once

#include KERNEL_SIMD_HEADER

// Elementary functions over the vector vocabulary, compiled per ISA.
namespace pelton::cpu::KERNEL_ISA {

// Within 2 ulp; 0 from -104 down (and at -inf), subnormal results kept, inf above 88.73, NaN at
// NaN. exp(x) = 2^n * exp(r), |r| <= ln(2) / 2; the polynomial is Cephes' expf (Moshier 1992).
inline F32 Exp(F32 x) {
  const F32 smallest = Broadcast(-87.3f);
  const F32 clamped = Min(Broadcast(89.0f), Max(smallest, x));
  const F32 n = Round(Mul(clamped, Broadcast(1.44269504088896341f)));
  // ln(2) in two parts; n times the first is exact.
  F32 r = NegMulAdd(n, Broadcast(0.693359375f), clamped);
  r = NegMulAdd(n, Broadcast(-2.12194440e-4f), r);
  F32 p = MulAdd(Broadcast(1.9875691500e-4f), r, Broadcast(1.3981999507e-3f));
  p = MulAdd(p, r, Broadcast(8.3334519073e-3f));
  p = MulAdd(p, r, Broadcast(4.1665795894e-2f));
  p = MulAdd(p, r, Broadcast(1.6666665459e-1f));
  p = MulAdd(p, r, Broadcast(5.0000001201e-1f));
  p = MulAdd(p, Mul(r, r), r);
  return SelectLess(x, smallest, Zero(), ScaleByPow2(Add(p, Broadcast(1.0f)), n));
}

// Within 1e-6 relative. Near 0 Cephes' tanhf polynomial, since 1 - 2 / (exp(2x) + 1) cancels.
inline F32 Tanh(F32 x) {
  const F32 magnitude = Abs(x);
  const F32 z = Mul(x, x);
  F32 p = MulAdd(Broadcast(-5.70498872745e-3f), z, Broadcast(2.06390887954e-2f));
  p = MulAdd(p, z, Broadcast(-5.37397155531e-2f));
  p = MulAdd(p, z, Broadcast(1.33314422036e-1f));
  p = MulAdd(p, z, Broadcast(-3.33332819422e-1f));
  const F32 small = MulAdd(Mul(p, z), magnitude, magnitude);
  const F32 one = Broadcast(1.0f);
  const F32 large = Sub(one, Div(Broadcast(2.0f), Add(Exp(Add(magnitude, magnitude)), one)));
  return CopySign(SelectLess(magnitude, Broadcast(0.625f), small, large), x);
}

// x / (1 + exp(-x)).
inline F32 Silu(F32 x) { return Div(x, Add(Broadcast(1.0f), Exp(Sub(Zero(), x)))); }

// gate / (1 + exp(-1.702 gate)) * (up + 1). Source: gpt-oss, torch/model.py, swiglu.
inline F32 SwigluOai(F32 gate, F32 up) {
  const F32 one = Broadcast(1.0f);
  return Mul(Div(gate, Add(one, Exp(Mul(Broadcast(-1.702f), gate)))), Add(up, one));
}

// What comes before some gates: min(gate, limit), and up in [-limit, limit]. NaN stays.
inline void ClampGate(F32 limit, F32& gate, F32& up) {
  gate = Min(limit, gate);
  up = Max(Sub(Zero(), limit), Min(limit, up));
}

// x / 2 * (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3), as x / (1 + exp(-2u)), which does
// not cancel for negative x.
inline F32 GeluTanh(F32 x) {
  const F32 cubic = MulAdd(Mul(Broadcast(0.044715f), Mul(x, x)), x, x);
  return Div(x, Add(Broadcast(1.0f), Exp(Mul(Broadcast(-1.5957691216057308f), cubic))));
}

// Within 3e-7 of erf(x). Near 0 an odd polynomial, beyond it 1 - exp(polynomial): minimax fits.
inline F32 Erf(F32 x) {
  const F32 magnitude = Abs(x);
  const F32 z = Mul(x, x);
  F32 p = MulAdd(Broadcast(-5.96761703e-4f), z, Broadcast(4.99119423e-3f));
  p = MulAdd(p, z, Broadcast(-2.67681349e-2f));
  p = MulAdd(p, z, Broadcast(1.12819925e-1f));
  p = MulAdd(p, z, Broadcast(-3.76125336e-1f));
  p = MulAdd(p, z, Broadcast(1.28379166e-1f));
  const F32 small = MulAdd(p, magnitude, magnitude);
  F32 q = MulAdd(Broadcast(-1.72853470e-5f), magnitude, Broadcast(3.83197126e-4f));
  const F32 u = MulAdd(Broadcast(-3.88396438e-3f), magnitude, Broadcast(2.42546219e-2f));
  q = MulAdd(q, z, u);
  q = MulAdd(q, magnitude, Broadcast(-1.06777877e-1f));
  q = MulAdd(q, magnitude, Broadcast(-6.34846687e-1f));
  q = MulAdd(q, magnitude, Broadcast(-1.28717512e-1f));
  q = MulAdd(q, magnitude, Sub(Zero(), magnitude));
  const F32 large = Sub(Broadcast(1.0f), Exp(q));
  return CopySign(SelectLess(magnitude, Broadcast(0.927734375f), small, large), x);
}

// x / 2 * (1 + erf(x / sqrt(2))).
inline F32 GeluErf(F32 x) {
  return Mul(Mul(Broadcast(0.5f), x),
             Add(Broadcast(1.0f), Erf(Mul(x, Broadcast(0.70710678118654752f)))));
}

}  // namespace pelton::cpu::KERNEL_ISA
