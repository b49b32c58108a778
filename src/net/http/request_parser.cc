#include "net/http/request_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/check.h"

namespace pelton {
namespace {

constexpr size_t kMaxMethod = 32;
constexpr size_t kMaxBlankLines = 2;
constexpr size_t kMaxChunkLine = 256;       // size and extensions
constexpr size_t kFirstReserve = 64 << 10;  // of a body, before any of it was seen

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsTokenChar(char c) {
  static constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  const char l = Lower(c);
  return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
         (c != '\0' && kOthers.find(c) != std::string_view::npos);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = Lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// Registered names, IPv4 and bracketed IPv6 addresses, and a port; RFC 3986, section 3.2.
bool IsHost(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    static constexpr std::string_view kOthers = "-._~!$&'()*+,;=:[]%";
    const char l = Lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && kOthers.find(c) != std::string_view::npos);
  });
}

// Length of the well-formed UTF-8 sequence that `text` begins with; 0 if there is none.
size_t Utf8Length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = at(1);
  if (first == 0xE0 && second < 0xA0) return 0;  // longer than needed
  if (first == 0xED && second > 0x9F) return 0;  // surrogates
  if (first == 0xF0 && second < 0x90) return 0;
  if (first == 0xF4 && second > 0x8F) return 0;  // beyond U+10FFFF
  return length;
}

std::optional<std::string> DecodePath(std::string_view raw) {
  std::string path;
  path.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '%') {
      path += raw[i];
      continue;
    }
    if (raw.size() - i < 3) return std::nullopt;
    const int high = HexDigit(raw[i + 1]);
    const int low = HexDigit(raw[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    path += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return path;
}

bool IsNormalPath(std::string_view path) {
  if (path.empty() || path.front() != '/') return false;
  for (std::string_view rest = path; !rest.empty();) {
    const size_t length = Utf8Length(rest);
    if (length == 0) return false;
    if (length == 1 && (rest.front() < 0x20 || rest.front() == 0x7F)) return false;
    rest.remove_prefix(length);
  }
  for (size_t start = 1; start < path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    if (segment.empty() || segment == "." || segment == "..") return false;
    start = end + 1;
  }
  return true;
}

bool FramesRequest(std::string_view name) {
  for (const std::string_view own : {"Content-Length", "Transfer-Encoding", "Host", "Connection"}) {
    if (EqualsIgnoringCase(name, own)) return true;
  }
  return false;
}

// Extensions are passed over, so only their extent matters: tokens and plain quoted strings.
bool AreChunkExtensions(std::string_view text) {
  while (!text.empty()) {
    if (text.front() != ';') return false;
    text.remove_prefix(1);
    const auto token = [&] {
      size_t length = 0;
      while (length < text.size() && IsTokenChar(text[length])) ++length;
      text.remove_prefix(length);
      return length > 0;
    };
    if (!token()) return false;
    if (text.empty() || text.front() != '=') continue;
    text.remove_prefix(1);
    if (text.empty() || text.front() != '"') {
      if (!token()) return false;
      continue;
    }
    const size_t end = text.find('"', 1);
    if (end == text.npos) return false;
    const std::string_view quoted = text.substr(1, end - 1);
    if (!IsHttpFieldValue(quoted) || quoted.find('\\') != quoted.npos) return false;
    text.remove_prefix(end + 1);
  }
  return true;
}

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view TrimHttpBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool IsHttpToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsTokenChar);
}

bool IsHttpFieldValue(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
  });
}

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (EqualsIgnoringCase(header.name, name)) return header.value;
  }
  return {};
}

void HttpRequestParser::Reset() {
  state_ = State::kRequestLine;
  request_ = nullptr;
  line_ = std::string();  // idle connections hold nothing
  line_taken_ = false;
  cr_seen_ = false;
  line_budget_ = limits_.max_header_bytes;
  num_fields_ = 0;
  blank_lines_ = 0;
  started_ = false;
  http_1_0_ = false;
  chunked_ = false;
  keep_alive_ = true;
  expects_continue_ = false;
  content_length_ = 0;
  body_left_ = 0;
}

bool HttpRequestParser::Fail(int status, const char* code, const char* message) {
  state_ = State::kFailed;
  error_status_ = status;
  error_code_ = code;
  error_message_ = message;
  return false;
}

bool HttpRequestParser::LineTooLong() {
  switch (state_) {
    case State::kRequestLine:
      return Fail(414, "uri_too_long", "The request line is longer than the server allows.");
    case State::kChunkSize:
      return Fail(400, "bad_chunk", "The line of a chunk's size is too long.");
    default:
      return Fail(431, "headers_too_large", "The headers are longer than the server allows.");
  }
}

// Takes a line with its CRLF from the input, if it is all there, and returns it without. The limit
// comes before the syntax, so that the verdict does not depend on how the bytes were cut.
bool HttpRequestParser::TakeLine(std::string_view& input, std::string_view& line) {
  if (line_taken_) line_.clear();
  line_taken_ = false;
  const size_t end = input.find('\n');
  const size_t count = end == input.npos ? input.size() : end + 1;
  if (count > line_budget_) return LineTooLong();
  line_budget_ -= count;
  if (end == input.npos) {
    line_.append(input);
    input = {};
    return false;
  }
  if (line_.empty()) {
    line = input.substr(0, count);
  } else {
    line_.append(input.substr(0, count));
    line = line_;
  }
  line_taken_ = true;
  input.remove_prefix(count);
  if (line.size() < 2 || line[line.size() - 2] != '\r') {
    return Fail(400, "bad_line_ending", "A line does not end in CR LF.");
  }
  line.remove_suffix(2);
  return true;
}

// True if the input's first byte begins a request; else the byte is taken, as part of an empty
// line, or refused: other protocols (TLS above all) end here.
bool HttpRequestParser::TakeBlankLine(std::string_view& input) {
  const char c = input.front();
  if (!cr_seen_ && IsTokenChar(c)) return true;
  if (c != (cr_seen_ ? '\n' : '\r')) {
    return Fail(400, "bad_request_line", "The request does not begin with a method.");
  }
  input.remove_prefix(1);
  cr_seen_ = !cr_seen_;
  if (!cr_seen_ && ++blank_lines_ > kMaxBlankLines) {
    return Fail(400, "bad_request_line", "The request begins with empty lines.");
  }
  return false;
}

HttpRequestParser::Event HttpRequestParser::Feed(std::string_view& input) {
  std::string_view line;
  for (;;) {
    switch (state_) {
      case State::kRequestLine:
        if (input.empty()) return Event::kNeedMore;
        if (!started_) {
          if (!TakeBlankLine(input)) continue;
          started_ = true;
        }
        if (!TakeLine(input, line)) break;
        if (TakeRequestLine(line)) state_ = State::kField;
        continue;
      case State::kField:
        if (!TakeLine(input, line)) break;
        if (!line.empty()) {
          TakeField(line, true);
          continue;
        }
        if (!FinishHeaders()) continue;
        state_ = State::kHeadersComplete;
        return Event::kHeaders;
      case State::kHeadersComplete:
        PELTON_CHECK(false, "StartBody comes after the headers");
        break;
      case State::kLengthBody:
        if (!TakeBody(input)) continue;
        if (body_left_ > 0) return Event::kNeedMore;
        state_ = State::kComplete;
        continue;
      case State::kChunkSize:
        if (!TakeLine(input, line)) break;
        TakeChunkSize(line);
        continue;
      case State::kChunkData:
        if (!TakeBody(input)) continue;
        if (body_left_ > 0) return Event::kNeedMore;
        state_ = State::kChunkEnd;
        line_budget_ = 2;
        continue;
      case State::kChunkEnd:
        if (input.empty()) return Event::kNeedMore;
        if (input[0] != (cr_seen_ ? '\n' : '\r')) {
          Fail(400, "bad_chunk", "A chunk is longer than its size says.");
          continue;
        }
        input.remove_prefix(1);
        cr_seen_ = !cr_seen_;
        if (cr_seen_) continue;
        state_ = State::kChunkSize;
        line_budget_ = kMaxChunkLine;
        continue;
      case State::kTrailer:
        if (!TakeLine(input, line)) break;
        if (line.empty()) {
          state_ = State::kComplete;
        } else {
          TakeField(line, false);
        }
        continue;
      case State::kComplete:
        return Event::kComplete;
      case State::kFailed:
        return Event::kError;
    }
    if (state_ != State::kFailed) return Event::kNeedMore;
  }
}

bool HttpRequestParser::TakeRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || first == last) {
    return Fail(400, "bad_request_line", "The request line is not METHOD TARGET VERSION.");
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (method.size() > kMaxMethod || !IsHttpToken(method)) {
    return Fail(400, "bad_request_line", "The method is not a token of at most 32 characters.");
  }
  const bool visible = std::ranges::all_of(target, [](char c) { return c > 0x20 && c < 0x7F; });
  if (target.empty() || !visible) {
    return Fail(400, "bad_target", "The target holds characters that must be percent-encoded.");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    const bool known = version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.' &&
                       HexDigit(version[5]) >= 0 && HexDigit(version[7]) >= 0;
    return known ? Fail(505, "http_version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
                 : Fail(400, "bad_request_line", "The request line does not end in a version.");
  }
  http_1_0_ = version == "HTTP/1.0";
  keep_alive_ = !http_1_0_;
  request_ = std::make_shared<HttpRequest>();
  request_->method = method;
  request_->target = target;
  return TakeTarget();
}

bool HttpRequestParser::TakeTarget() {
  std::string_view rest = request_->target;
  if (rest == "*" && request_->method == "OPTIONS") {
    request_->path = rest;
    return true;
  }
  if (rest.find('#') != rest.npos) return Fail(400, "bad_target", "The target has a fragment.");
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!EqualsIgnoringCase(rest.substr(0, scheme.size()), scheme)) continue;
    rest.remove_prefix(scheme.size());
    const size_t end = std::min(rest.find_first_of("/?"), rest.size());
    if (end == 0 || !IsHost(rest.substr(0, end))) {
      return Fail(400, "bad_target", "The target's host is not valid.");
    }
    rest.remove_prefix(end);
    break;
  }
  const size_t question = std::min(rest.find('?'), rest.size());
  const bool absolute = rest.data() != request_->target.data();
  std::optional<std::string> path = DecodePath(rest.substr(0, question));
  if (path && path->empty() && absolute) path = "/";
  if (!path || !IsNormalPath(*path)) {
    return Fail(400, "bad_path",
                "The path is not a normal one: it must begin with \"/\", be UTF-8 in valid percent "
                "encoding, and have no control characters and no segments \"\", \".\" or \"..\".");
  }
  request_->path = *std::move(path);
  if (question < rest.size()) request_->query = rest.substr(question + 1);
  return true;
}

bool HttpRequestParser::TakeField(std::string_view line, bool keep) {
  if (line.front() == ' ' || line.front() == '\t') {
    return Fail(400, "folded_header", "A header is folded over several lines.");
  }
  if (++num_fields_ > limits_.max_headers) {
    return Fail(431, "too_many_headers", "There are more headers than the server allows.");
  }
  const size_t colon = line.find(':');
  if (colon == line.npos || !IsHttpToken(line.substr(0, colon))) {
    return Fail(400, "bad_header", "A header does not begin with a name and a colon.");
  }
  const std::string_view name = line.substr(0, colon);
  if (!keep && FramesRequest(name)) {
    return Fail(400, "bad_trailer", "A trailer has a header that must come before the body.");
  }
  const std::string_view value = TrimHttpBlanks(line.substr(colon + 1));
  if (!IsHttpFieldValue(value)) {
    return Fail(400, "bad_header", "A header's value has control characters.");
  }
  if (keep) request_->headers.push_back({std::string(name), std::string(value)});
  return true;
}

bool HttpRequestParser::FinishConnection(std::string_view value) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view option = TrimHttpBlanks(value.substr(0, comma));
    if (EqualsIgnoringCase(option, "close")) return false;
    if (EqualsIgnoringCase(option, "keep-alive")) keep_alive_ = true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return true;
}

bool HttpRequestParser::FinishHeaders() {
  size_t hosts = 0;
  size_t lengths = 0;
  size_t encodings = 0;
  bool close = false;
  for (const HttpHeader& header : request_->headers) {
    const std::string& value = header.value;
    if (EqualsIgnoringCase(header.name, "Host")) {
      if (++hosts > 1 || !IsHost(value)) {
        return Fail(400, "bad_host", "Host is given twice or is not valid.");
      }
    } else if (EqualsIgnoringCase(header.name, "Content-Length")) {
      const char* const end = value.data() + value.size();
      const auto [stop, error] = std::from_chars(value.data(), end, content_length_);
      if (++lengths > 1 || value.empty() || error != std::errc() || stop != end) {
        return Fail(400, "bad_content_length", "Content-Length is given twice or is not a number.");
      }
    } else if (EqualsIgnoringCase(header.name, "Transfer-Encoding")) {
      if (++encodings > 1) {
        return Fail(400, "bad_transfer_encoding", "Transfer-Encoding is given twice.");
      }
      chunked_ = EqualsIgnoringCase(value, "chunked");
    } else if (EqualsIgnoringCase(header.name, "Connection")) {
      close = !FinishConnection(value) || close;
    } else if (EqualsIgnoringCase(header.name, "Expect")) {
      if (!EqualsIgnoringCase(value, "100-continue")) {
        return Fail(417, "expectation_failed", "Only the expectation 100-continue can be met.");
      }
      expects_continue_ = !http_1_0_;
    }
  }
  if (close) keep_alive_ = false;
  if (!http_1_0_ && hosts == 0) return Fail(400, "missing_host", "The header Host is missing.");
  if (encodings > 0 && (lengths > 0 || http_1_0_)) {
    return Fail(400, "ambiguous_length",
                "Transfer-Encoding is not allowed beside Content-Length or in HTTP/1.0.");
  }
  if (encodings > 0 && !chunked_) {
    return Fail(501, "transfer_encoding", "The only transfer encoding that is known is chunked.");
  }
  return true;
}

bool HttpRequestParser::StartBody(size_t max_body, std::shared_ptr<BodyBudget> budget) {
  PELTON_CHECK(state_ == State::kHeadersComplete, "StartBody comes after the headers");
  if (budget != nullptr) {
    if (budget->most() > 0) max_body = std::min(max_body, budget->most());
    request_->lease = BodyLease(std::move(budget));
  }
  max_body_ = max_body;
  if (content_length_ > max_body) {
    return Fail(413, "body_too_large", "The body is longer than the server allows.");
  }
  if (chunked_) {
    state_ = State::kChunkSize;
    line_budget_ = kMaxChunkLine;
    // Tiny chunks cost more time than their bytes: what frames them is limited like the body.
    chunk_budget_ = max_body;
    if (chunk_budget_ < kMaxChunkLine) chunk_budget_ = kMaxChunkLine;
  } else {
    state_ = State::kLengthBody;
    body_left_ = content_length_;
  }
  return true;
}

bool HttpRequestParser::TakeChunkSize(std::string_view line) {
  const size_t framing = line.size() + 4;  // two line ends
  if (framing > chunk_budget_) {
    return Fail(413, "too_many_chunks", "The body's chunks are too small for its length.");
  }
  chunk_budget_ -= framing;
  uint64_t size = 0;
  const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
  const auto digits = static_cast<size_t>(stop - line.data());
  if (error != std::errc() || digits > 16 || !AreChunkExtensions(line.substr(digits))) {
    return Fail(400, "bad_chunk", "A chunk does not begin with its size.");
  }
  if (size > max_body_ - request_->body.size()) {
    return Fail(413, "body_too_large", "The body is longer than the server allows.");
  }
  body_left_ = size;
  if (size > 0) {
    state_ = State::kChunkData;
  } else {
    state_ = State::kTrailer;
    line_budget_ = limits_.max_header_bytes;
    num_fields_ = 0;
  }
  return true;
}

bool HttpRequestParser::TakeBody(std::string_view& input) {
  std::string& body = request_->body;
  const size_t count = std::min<uint64_t>(input.size(), body_left_);
  if (count == 0) return true;
  if (body.capacity() - body.size() < count) {
    // Memory follows what has arrived, not what was announced, and never exceeds the latter.
    size_t wanted = std::max({body.size() + count, 2 * body.size(), kFirstReserve});
    wanted = std::min<uint64_t>(wanted, chunked_ ? max_body_ : content_length_);
    if (!request_->lease.Raise(wanted)) {
      return Fail(503, "out_of_memory",
                  "Other requests fill the memory for bodies; try again later.");
    }
    body.reserve(wanted);
  }
  body.append(input.substr(0, count));
  input.remove_prefix(count);
  body_left_ -= count;
  return true;
}

std::shared_ptr<HttpRequest> HttpRequestParser::TakeRequest() {
  PELTON_CHECK(state_ == State::kComplete, "TakeRequest comes after a complete request");
  std::shared_ptr<HttpRequest> request = std::move(request_);
  Reset();
  return request;
}

}  // namespace pelton
