#include "base/async_lines.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

namespace pelton {
namespace {

constexpr size_t kMaxWaiting = 8192;
// A pipe that can be written to takes this much at once, so that the write never waits.
constexpr size_t kMaxLine = 4096;
constexpr int kLastWaitMs = 1000;

// What the writing thread and the owner share.
struct Progress {
  std::atomic<bool> ending{false};
  std::atomic<uint64_t> failed{0};
};

class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  DescriptorSink(int fd, Progress& progress) : fd_(fd), progress_(progress) {}

 private:
  // Whether the descriptor takes more; while the log goes on this waits as long as it needs to.
  bool WaitUntilWritable() {
    if (gave_up_) return false;
    for (int waited_ms = 0; true; waited_ms += kPollMs) {
      pollfd poll = {.fd = fd_, .events = POLLOUT, .revents = 0};
      if (::poll(&poll, 1, kPollMs) > 0) return true;
      if (!progress_.ending.load()) {
        waited_ms = 0;
      } else if (waited_ms >= kLastWaitMs) {
        gave_up_ = true;
        return false;
      }
    }
  }

  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    line.append(message.payload.begin(),
                message.payload.begin() +
                    static_cast<std::ptrdiff_t>(std::min(message.payload.size(), kMaxLine - 1)));
    line.push_back('\n');
    const char* at = line.data();
    size_t left = line.size();
    while (left > 0) {
      if (!WaitUntilWritable()) break;
      const ssize_t written = ::write(fd_, at, left);
      if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (written <= 0) break;
      at += written;
      left -= static_cast<size_t>(written);
    }
    if (left > 0) progress_.failed.fetch_add(1);
  }
  void flush_() override {}

  static constexpr int kPollMs = 50;
  const int fd_;
  Progress& progress_;
  bool gave_up_ = false;
};

}  // namespace

struct AsyncLines::Impl {
  Progress progress;
  std::shared_ptr<spdlog::details::thread_pool> thread;
  std::shared_ptr<spdlog::async_logger> logger;

  void Start(spdlog::sink_ptr sink) {
    thread = std::make_shared<spdlog::details::thread_pool>(kMaxWaiting, 1);
    logger = std::make_shared<spdlog::async_logger>("", std::move(sink), thread,
                                                    spdlog::async_overflow_policy::overrun_oldest);
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
    logger->set_error_handler([this](const std::string&) { progress.failed.fetch_add(1); });
    logger->flush_on(spdlog::level::info);
  }
};

AsyncLines::AsyncLines(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AsyncLines::~AsyncLines() {
  impl_->progress.ending.store(true);
  impl_->logger = nullptr;
  impl_->thread = nullptr;  // joins
}

std::unique_ptr<AsyncLines> AsyncLines::ToDescriptor(int fd) {
  auto impl = std::make_unique<Impl>();
  impl->Start(std::make_shared<DescriptorSink>(fd, impl->progress));
  return std::unique_ptr<AsyncLines>(new AsyncLines(std::move(impl)));
}

Result<std::unique_ptr<AsyncLines>> AsyncLines::ToFile(const std::string& path, size_t max_bytes) {
  // Made here, since the library knows no modes.
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return InvalidArgument(path + ": cannot be written: " + std::generic_category().message(errno));
  }
  ::close(fd);
  auto impl = std::make_unique<Impl>();
  try {
    spdlog::file_event_handlers handlers;
    handlers.after_open = [](const spdlog::filename_t&, std::FILE* file) {
      if (file != nullptr) ::fchmod(::fileno(file), 0600);
    };
    impl->Start(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, max_bytes, 1, false,
                                                                       handlers));
  } catch (const spdlog::spdlog_ex& error) {
    return InvalidArgument(path + ": cannot be written: " + error.what());
  }
  return std::unique_ptr<AsyncLines>(new AsyncLines(std::move(impl)));
}

void AsyncLines::Write(std::string_view line) {
  impl_->logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

uint64_t AsyncLines::dropped() const { return impl_->thread->overrun_counter(); }
uint64_t AsyncLines::failed() const { return impl_->progress.failed.load(); }

}  // namespace pelton
