#include "models/weights/field_error.h"

#include <fmt/format.h>

#include <iterator>

namespace pelton {
namespace {

constexpr size_t kMaxQuotedBytes = 80;

std::string Sentence(std::string_view file, std::string_view field, std::string_view found,
                     std::string_view expected) {
  return fmt::format("{}: {}: found {}, expected {}", file, field, found, expected);
}

}  // namespace

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kMaxQuotedBytes)) {
    if (c < 0x20 || c > 0x7e) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  out += '"';
  if (text.size() > kMaxQuotedBytes) out += "...";
  return out;
}

Status FieldError(std::string_view file, std::string_view field, std::string_view found,
                  std::string_view expected) {
  return DataLoss(Sentence(file, field, found, expected));
}

Status UnsupportedField(std::string_view file, std::string_view field, std::string_view found,
                        std::string_view expected) {
  return Unimplemented(Sentence(file, field, found, expected));
}

}  // namespace pelton
