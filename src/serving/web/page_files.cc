#include "serving/web/page_files.h"

#include <zlib.h>

#include <charconv>
#include <string>

#include "base/check.h"

namespace pelton {
namespace {

// Takes the text up to `end`, and `end` itself, away from the front.
std::string_view TakeUntil(char end, std::string_view* text) {
  const size_t at = text->find(end);
  const std::string_view taken = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return taken;
}

size_t TakeSize(char end, std::string_view* text) {
  const std::string_view digits = TakeUntil(end, text);
  size_t size = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  PELTON_CHECK(error == std::errc() && stop == digits.data() + digits.size(),
               "sizes of a pack are numbers");
  return size;
}

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualIgnoringCase(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != lower[i]) return false;
  }
  return true;
}

// Whether the parameters of a coding, "q=0.000", say that it is not wanted.
bool IsRefused(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view weight = Trimmed(TakeUntil(';', &parameters));
    if (!EqualIgnoringCase(Trimmed(TakeUntil('=', &weight)), "q")) continue;
    weight = Trimmed(weight);
    return weight.empty() || weight.find_first_not_of("0.") == std::string_view::npos;
  }
  return false;
}

}  // namespace

std::vector<PageFile> ReadPack(std::string_view pack) {
  std::vector<PageFile> files;
  std::vector<size_t> sizes;
  for (;;) {
    std::string_view line = TakeUntil('\n', &pack);
    if (line.empty()) break;
    PageFile& file = files.emplace_back();
    file.name = TakeUntil(' ', &line);
    file.type = TakeUntil(' ', &line);
    file.tag = TakeUntil(' ', &line);
    file.gzip = TakeUntil(' ', &line) == "gzip";
    sizes.push_back(TakeSize(' ', &line));
    file.size = TakeSize(' ', &line);
  }
  for (size_t i = 0; i < files.size(); ++i) {
    PELTON_CHECK(sizes[i] <= pack.size(), "a pack holds the bytes of its files");
    files[i].bytes = pack.substr(0, sizes[i]);
    pack.remove_prefix(sizes[i]);
  }
  PELTON_CHECK(pack.empty(), "a pack holds the bytes of its files and no more");
  return files;
}

std::string Unpacked(const PageFile& file) {
  if (!file.gzip) return std::string(file.bytes);
  std::string out(file.size, '\0');
  z_stream stream = {};
  constexpr int kGzip = 16;  // added to the window's size: the format to expect
  PELTON_CHECK(inflateInit2(&stream, MAX_WBITS + kGzip) == Z_OK, "zlib starts");
  // zlib does not write to its input, whose type lacks the const.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.bytes.data()));
  stream.avail_in = static_cast<uInt>(file.bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int ended = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  PELTON_CHECK(ended == Z_STREAM_END && stream.avail_out == 0, "a pack's file has its size");
  return out;
}

bool AcceptsGzip(std::string_view accept_encoding) {
  bool any = false;  // what "*" says
  while (!accept_encoding.empty()) {
    std::string_view parameters = TakeUntil(',', &accept_encoding);
    const std::string_view coding = Trimmed(TakeUntil(';', &parameters));
    if (EqualIgnoringCase(coding, "gzip") || EqualIgnoringCase(coding, "x-gzip")) {
      return !IsRefused(parameters);
    }
    if (coding == "*") any = !IsRefused(parameters);
  }
  return any;
}

}  // namespace pelton
