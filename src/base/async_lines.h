#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton {

// Writes lines on a thread of its own, so that a slow disk or terminal delays nobody: at most 8192
// lines wait, and the oldest give way. Trouble with writing is counted and otherwise ignored.
class AsyncLines {
 public:
  // Borrows the descriptor. A line longer than 4 KiB is cut.
  static std::unique_ptr<AsyncLines> ToDescriptor(int fd);
  // Appends to a file that only its owner may read. At max_bytes it becomes PATH's sibling with .1
  // before the extension, which is replaced. InvalidArgument if it cannot be opened.
  static Result<std::unique_ptr<AsyncLines>> ToFile(const std::string& path, size_t max_bytes);

  // Writes what waits; a descriptor that takes nothing for a second loses the rest.
  ~AsyncLines();
  AsyncLines(const AsyncLines&) = delete;
  AsyncLines& operator=(const AsyncLines&) = delete;

  // Any thread; does not wait. The line has no line break.
  void Write(std::string_view line);

  uint64_t dropped() const;  // because the writer was too slow
  uint64_t failed() const;   // because they could not be written

 private:
  struct Impl;
  explicit AsyncLines(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pelton
