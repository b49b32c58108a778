#include <cstdint>
#include <string>

#include "serving/web/page_files.h"

// Any text as a header Accept-Encoding: the answer does not depend on the letters' case, and what
// is named first counts.
namespace pelton {
namespace {

void Check(bool holds) {
  if (!holds) __builtin_trap();
}

void CheckEncodings(const std::string& header) {
  const bool accepts = AcceptsGzip(header);
  std::string upper;
  for (const char c : header) {
    upper += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  Check(AcceptsGzip(upper) == accepts);
  Check(AcceptsGzip(header + ", identity") == accepts);
  Check(AcceptsGzip("gzip," + header));
  Check(!AcceptsGzip("gzip;q=0," + header));
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::CheckEncodings(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
