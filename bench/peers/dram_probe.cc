// Prints the memory read rate in GB/s: each of N threads streams its own part of a buffer that no
// cache holds, on 2 MB pages where the system grants them; the median of the passes counts.
// Usage: dram_probe THREADS MIB_PER_THREAD PASSES
#include <sys/mman.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// Eight independent sums, so that the loads and not the additions set the pace.
uint64_t SumOf(const uint64_t* words, size_t count) {
  typedef uint64_t Lanes __attribute__((vector_size(64)));
  const Lanes* lanes = reinterpret_cast<const Lanes*>(words);
  Lanes sums[8] = {};
  for (size_t i = 0; i + 8 <= count / 8; i += 8) {
    for (size_t k = 0; k < 8; ++k) sums[k] += lanes[i + k];
  }
  uint64_t total = 0;
  for (const Lanes& sum : sums) {
    for (int lane = 0; lane < 8; ++lane) total += sum[lane];
  }
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: dram_probe THREADS MIB_PER_THREAD PASSES\n");
    return 2;
  }
  const size_t threads = std::strtoul(argv[1], nullptr, 10);
  const size_t bytes = std::strtoul(argv[2], nullptr, 10) << 20;
  const size_t passes = std::strtoul(argv[3], nullptr, 10);
  if (threads == 0 || bytes == 0 || passes == 0) return 2;

  std::vector<uint64_t*> parts(threads);
  for (uint64_t*& part : parts) {
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("mmap");
      return 1;
    }
    ::madvise(memory, bytes, MADV_HUGEPAGE);
    part = static_cast<uint64_t*>(memory);
  }

  std::barrier gate(static_cast<std::ptrdiff_t>(threads + 1));
  std::vector<uint64_t> sums(threads);
  std::vector<std::thread> workers;
  for (size_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      std::memset(parts[t], static_cast<int>(t + 1), bytes);
      for (size_t pass = 0; pass < passes; ++pass) {
        gate.arrive_and_wait();
        sums[t] += SumOf(parts[t], bytes / sizeof(uint64_t));
        gate.arrive_and_wait();
      }
    });
  }
  std::vector<double> rates;
  for (size_t pass = 0; pass < passes; ++pass) {
    gate.arrive_and_wait();
    const Clock::time_point start = Clock::now();
    gate.arrive_and_wait();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    rates.push_back(static_cast<double>(threads * bytes) / seconds / 1e9);
  }
  for (std::thread& worker : workers) worker.join();
  uint64_t check = 0;
  for (uint64_t sum : sums) check ^= sum;
  std::nth_element(rates.begin(), rates.begin() + static_cast<long>(passes / 2), rates.end());
  // The sum is printed so that the compiler cannot drop the reads.
  std::printf("%.2f %llx\n", rates[passes / 2], static_cast<unsigned long long>(check));
  return 0;
}
