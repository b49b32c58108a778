#include "base/cpu_features.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace pelton {
namespace {

#if defined(__x86_64__)
// Linux grants the 8 KiB tile state per process, on request.
bool TileStateGranted() {
  constexpr long kArchReqXcompPerm = 0x1023;
  constexpr long kTileData = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
}

bool ProcessorHasAmx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
  return (edx & (kBf16 | kTile | kInt8)) == (kBf16 | kTile | kInt8);
}
#endif

uint32_t Detect() {
  uint32_t found = 0;
#if defined(__x86_64__)
  // The compilers' run-time libraries look at XCR0 too, so the operating system's consent for the
  // wide registers is included.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    found |= kCpuAvx2;
  }
  if ((found & kCpuAvx2) && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    found |= kCpuAvx512;
    if (__builtin_cpu_supports("avx512vnni")) found |= kCpuAvx512Vnni;
    if (__builtin_cpu_supports("avx512bf16")) found |= kCpuAvx512Bf16;
    if ((found & kCpuAvx512Vnni) && ProcessorHasAmx() && TileStateGranted()) found |= kCpuAmx;
  }
#endif
  return found;
}

uint32_t Limited(uint32_t found) {
  const char* env = std::getenv("PELTON_MAX_ISA");  // NOLINT(concurrency-mt-unsafe): before threads
  const std::string_view max_isa = env ? env : "best";
  if (max_isa == "generic") return 0;
  if (max_isa == "avx2") return found & kCpuAvx2;
  if (max_isa == "avx512") return found & ~uint32_t{kCpuAmx};
  if (max_isa != "best" && !max_isa.empty()) {
    std::fprintf(stderr,
                 "PELTON_MAX_ISA=%s is unknown and ignored; use generic, avx2, avx512 or best\n",
                 env);
  }
  return found;
}

}  // namespace

uint32_t DetectedCpuFeatures() {
  static const uint32_t features = Detect();
  return features;
}

uint32_t CpuFeatures() {
  static const uint32_t features = Limited(DetectedCpuFeatures());
  return features;
}

std::string CpuFeatureNames(uint32_t features) {
  std::string names;
  const auto add = [&](uint32_t bit, const char* name) {
    if (!(features & bit)) return;
    if (!names.empty()) names += ' ';
    names += name;
  };
  add(kCpuAvx2, "avx2");
  add(kCpuAvx512, "avx512");
  add(kCpuAvx512Vnni, "vnni");
  add(kCpuAvx512Bf16, "bf16");
  add(kCpuAmx, "amx");
  return names.empty() ? "generic" : names;
}

std::string CpuModelName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

}  // namespace pelton
