#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace pelton {

// Why an operation failed. The process's exit code and, later, the HTTP status are derived from it.
enum class StatusCode {
  kOk,
  kInvalidArgument,    // the caller's input is wrong (exit 2)
  kNotFound,           // a file, name or key does not exist
  kResourceExhausted,  // not enough memory, blocks or quota (exit 4)
  kUnavailable,        // try again later
  kDeadlineExceeded,
  kCancelled,      // exit 130
  kDataLoss,       // a file is truncated, damaged or lies about itself (exit 3)
  kUnimplemented,  // valid, but not supported by this build (exit 3 for model files)
  kInternal,
};

// Name of a code as it is printed, for example "invalid argument".
std::string_view StatusCodeName(StatusCode code);

// The outcome of an operation that input, files, peers or capacity can make fail. A message is one
// sentence for the user: what is wrong, what was found and what was expected.
class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same status with `context` and ": " put before its message; ok stays ok.
  Status WithContext(std::string_view context) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() { return {}; }
Status InvalidArgument(std::string message);
Status NotFound(std::string message);
Status ResourceExhausted(std::string message);
Status Unavailable(std::string message);
Status Cancelled(std::string message);
Status DataLoss(std::string message);
Status Unimplemented(std::string message);
Status Internal(std::string message);

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    PELTON_CHECK(!status_.ok(), "a Result without a value needs an error");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  // Requires: ok().
  T& value() & {
    PELTON_CHECK(ok(), status_.message().c_str());
    return *value_;
  }
  const T& value() const& {
    PELTON_CHECK(ok(), status_.message().c_str());
    return *value_;
  }
  T&& value() && {
    PELTON_CHECK(ok(), status_.message().c_str());
    return *std::move(value_);
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace pelton

#define PELTON_CONCAT_INNER(a, b) a##b
#define PELTON_CONCAT(a, b) PELTON_CONCAT_INNER(a, b)

// Returns the status of `expr` from the enclosing function unless it is ok.
#define RETURN_IF_ERROR(expr)                                           \
  do {                                                                  \
    if (::pelton::Status pelton_status = (expr); !pelton_status.ok()) { \
      return pelton_status;                                             \
    }                                                                   \
  } while (false)

// Declares `lhs` from the value of the Result `expr`, or returns its status.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL(PELTON_CONCAT(result_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = (expr);                          \
  if (!result.ok()) return result.status();      \
  lhs = std::move(result).value()
