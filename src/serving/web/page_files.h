#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pelton {

// A file of the page. Views are of the pack.
struct PageFile {
  std::string_view name;
  std::string_view type;  // as the header Content-Type has it
  std::string_view tag;   // of its content, for the header ETag
  bool gzip = false;      // how `bytes` are
  std::string_view bytes;
  size_t size = 0;  // of the file itself
};

// The files of a pack, in its order. Requires: pack.py wrote it, and it outlives the files.
std::vector<PageFile> ReadPack(std::string_view pack);

// The file's own bytes.
std::string Unpacked(const PageFile& file);

// Whether a client that sends this as Accept-Encoding takes gzip; without the header it need not.
bool AcceptsGzip(std::string_view accept_encoding);

}  // namespace pelton
