#pragma once

#include <cstdint>
#include <string>

namespace pelton {

// Instruction sets that kernels are compiled for. A set bit means that both the processor and the
// operating system permit it.
enum CpuFeature : uint32_t {
  kCpuGeneric = 0,
  kCpuAvx2 = 1u << 0,        // AVX2, FMA, F16C
  kCpuAvx512 = 1u << 1,      // F, BW, VL, DQ
  kCpuAvx512Vnni = 1u << 2,  // VNNI; with kCpuAvx512
  kCpuAvx512Bf16 = 1u << 3,
  kCpuAmx = 1u << 4,  // TILE, INT8, BF16; the process asked for and got the tile state
};

// Features of this machine, less those above the ISA named in PELTON_MAX_ISA: "generic", "avx2",
// "avx512" (with VNNI and BF16, without AMX) or "best" (the default). Read once, at the first
// call; an unknown name is reported on stderr and ignored. Thread-safe.
uint32_t CpuFeatures();

// What the machine permits, whatever PELTON_MAX_ISA says.
uint32_t DetectedCpuFeatures();

// For people: "avx2 avx512 vnni".
std::string CpuFeatureNames(uint32_t features);

// Model name of the processor, or "unknown processor".
std::string CpuModelName();

}  // namespace pelton
