#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/http/server.h"

namespace pelton {

bool EqualsIgnoringCase(std::string_view a, std::string_view b);
// Without the blanks and tabs at the ends.
std::string_view TrimHttpBlanks(std::string_view text);
// Whether `text` is a non-empty token of RFC 9110, section 5.6.2.
bool IsHttpToken(std::string_view text);
// Whether `text` may be the value of a header: no control characters but tabs.
bool IsHttpFieldValue(std::string_view text);

struct HttpRequestLimits {
  size_t max_header_bytes;
  size_t max_headers;
};

// Reads the requests of one connection from its bytes, however those are cut. RFC 9112, and
// stricter where other implementations read the same bytes differently: every line ends in CRLF,
// headers are not folded, a length is given once and in one way. No I/O. One thread.
class HttpRequestParser {
 public:
  enum class Event {
    kNeedMore,  // all of the input is taken
    kHeaders,   // headers are complete; call StartBody, or give up
    kComplete,  // the request is complete; call TakeRequest
    kError,     // error_*() say why; nothing more can be read
  };

  explicit HttpRequestParser(HttpRequestLimits limits) : limits_(limits) { Reset(); }

  // Takes bytes from the front of `input` up to the next event.
  Event Feed(std::string_view& input);

  // After kHeaders: goes on with the body, whose memory is taken from `budget`. False and an error
  // if it is announced to be longer than `max_body` or the whole budget.
  bool StartBody(size_t max_body, std::shared_ptr<BodyBudget> budget = nullptr);

  // After kComplete: the request, and the parser begins with the next one.
  std::shared_ptr<HttpRequest> TakeRequest();

  // Forgets what was read of a request and begins with the next one.
  void Reset();

  // Whether anything of a request was read; empty lines before it do not count.
  bool started() const { return started_; }

  // Whether request() is there: from the request line on.
  bool has_request() const { return request_ != nullptr; }

  // Known from kHeaders on.
  HttpRequest& request() { return *request_; }
  bool has_body() const { return chunked_ || content_length_ > 0; }
  bool chunked() const { return chunked_; }
  uint64_t content_length() const { return content_length_; }
  bool keep_alive() const { return keep_alive_; }
  bool expects_continue() const { return expects_continue_; }
  bool http_1_0() const { return http_1_0_; }

  int error_status() const { return error_status_; }
  std::string_view error_code() const { return error_code_; }
  std::string_view error_message() const { return error_message_; }

 private:
  enum class State {
    kRequestLine,
    kField,
    kHeadersComplete,
    kLengthBody,
    kChunkSize,
    kChunkData,
    kChunkEnd,
    kTrailer,
    kComplete,
    kFailed,
  };

  // The literals outlive the parser.
  bool Fail(int status, const char* code, const char* message);
  bool TakeBlankLine(std::string_view& input);
  bool TakeLine(std::string_view& input, std::string_view& line);
  bool LineTooLong();
  bool TakeRequestLine(std::string_view line);
  bool TakeTarget();
  bool TakeField(std::string_view line, bool keep);
  bool FinishHeaders();
  bool FinishConnection(std::string_view value);
  bool TakeChunkSize(std::string_view line);
  bool TakeBody(std::string_view& input);

  const HttpRequestLimits limits_;
  State state_ = State::kRequestLine;
  std::shared_ptr<HttpRequest> request_;  // handed to the handler, which may keep it
  std::string line_;                      // beginning of a line that came in pieces
  bool line_taken_ = false;               // line_ was parsed and can go
  bool cr_seen_ = false;                  // first half of an empty line, or of a chunk's end
  size_t line_budget_ = 0;  // bytes that headers, chunk sizes or trailers may still take
  size_t num_fields_ = 0;
  size_t blank_lines_ = 0;
  bool started_ = false;
  bool http_1_0_ = false;
  bool chunked_ = false;
  bool keep_alive_ = true;
  bool expects_continue_ = false;
  uint64_t content_length_ = 0;
  uint64_t body_left_ = 0;  // of the body, or of the chunk
  size_t max_body_ = 0;
  size_t chunk_budget_ = 0;  // bytes that the framing of chunks may still take
  int error_status_ = 0;
  const char* error_code_ = "";
  const char* error_message_ = "";
};

}  // namespace pelton
