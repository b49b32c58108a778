#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "serving/api/query.h"
#include "serving/web/page_files.h"

// Input: a header Accept-Encoding, a line's end, then the query of an address.
namespace pelton {
namespace {

void Check(bool holds) {
  if (!holds) __builtin_trap();
}

void CheckEncodings(const std::string& header) {
  const bool accepts = AcceptsGzip(header);
  std::string upper = header;
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  Check(AcceptsGzip(upper) == accepts);
  Check(AcceptsGzip(header + ", identity") == accepts);
  // What is named first counts, whatever follows it.
  Check(AcceptsGzip("gzip," + header));
  Check(!AcceptsGzip("gzip;q=0," + header));
}

void CheckQuery(std::string_view query) {
  const std::optional<int> limit = QueryNumber(query, "limit", 1, 512);
  if (!limit) return;
  Check(*limit >= 1 && *limit <= 512);
  Check(query.substr(0, 6) == "limit=" && query.find('&') == std::string_view::npos);
  Check(QueryNumber("limit=" + std::to_string(*limit), "limit", 1, 512) == limit);
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\n');
  pelton::CheckEncodings(std::string(input.substr(0, end)));
  if (end != std::string_view::npos) pelton::CheckQuery(input.substr(end + 1));
  return 0;
}
