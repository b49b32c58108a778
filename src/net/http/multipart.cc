#include "net/http/multipart.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "net/http/request_parser.h"

namespace pelton {
namespace {

constexpr size_t kMostParts = 32;
constexpr size_t kMostHeaderBytes = 8 << 10;
constexpr size_t kMostNameBytes = 1024;

// Takes "; name=value" or "; name=\"value\"" from the begin of `text`; nothing if it is neither.
struct Parameter {
  std::string name, value;
};
std::optional<Parameter> TakeParameter(std::string_view* text) {
  std::string_view rest = TrimHttpBlanks(*text);
  if (rest.empty() || rest.front() != ';') return std::nullopt;
  rest = TrimHttpBlanks(rest.substr(1));
  const size_t equal = rest.find('=');
  if (equal == std::string_view::npos || !IsHttpToken(rest.substr(0, equal))) return std::nullopt;
  Parameter parameter{.name = std::string(rest.substr(0, equal)), .value = {}};
  rest.remove_prefix(equal + 1);
  if (rest.empty() || rest.front() != '"') {
    const size_t end = std::min(rest.find_first_of("; \t"), rest.size());
    parameter.value = rest.substr(0, end);
    if (!IsHttpToken(parameter.value)) return std::nullopt;
    *text = rest.substr(end);
    return parameter;
  }
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      *text = rest.substr(i + 1);
      return parameter;
    }
    // Clients escape a quote so, or as %22; a lone backslash is one of Windows' paths.
    if (rest[i] == '\\' && i + 1 < rest.size() && (rest[i + 1] == '"' || rest[i + 1] == '\\')) ++i;
    parameter.value += rest[i];
  }
  return std::nullopt;
}

bool IsBoundary(std::string_view text) {
  return !text.empty() && text.size() <= 70 && text.back() != ' ' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
         });
}

// Reads "form-data; name=…; filename=…".
Status ReadDisposition(std::string_view value, FormPart* part) {
  constexpr std::string_view kType = "form-data";
  if (value.size() < kType.size() || !EqualsIgnoringCase(value.substr(0, kType.size()), kType)) {
    return InvalidArgument("found a part that is no form-data");
  }
  value.remove_prefix(kType.size());
  bool named = false, file = false;
  while (!TrimHttpBlanks(value).empty()) {
    const std::optional<Parameter> parameter = TakeParameter(&value);
    if (!parameter || parameter->value.size() > kMostNameBytes) {
      return InvalidArgument("found a Content-Disposition that cannot be read");
    }
    if (EqualsIgnoringCase(parameter->name, "name")) {
      if (std::exchange(named, true)) return InvalidArgument("found a part with two names");
      part->name = parameter->value;
    } else if (EqualsIgnoringCase(parameter->name, "filename")) {
      if (std::exchange(file, true)) return InvalidArgument("found a part with two filenames");
      part->filename = parameter->value;
    }
  }
  return named ? OkStatus() : InvalidArgument("found a part without a name");
}

// Reads the lines of a part's headers, which end in CR LF each.
Status ReadHeaders(std::string_view lines, FormPart* part) {
  bool disposed = false;
  while (!lines.empty()) {
    const size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsHttpToken(line.substr(0, colon))) {
      return InvalidArgument("found a line in a part's headers that is no header");
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = TrimHttpBlanks(line.substr(colon + 1));
    if (EqualsIgnoringCase(name, "Content-Disposition")) {
      if (std::exchange(disposed, true)) {
        return InvalidArgument("found a part with two Content-Dispositions");
      }
      RETURN_IF_ERROR(ReadDisposition(value, part));
    } else if (EqualsIgnoringCase(name, "Content-Transfer-Encoding") &&
               !EqualsIgnoringCase(value, "binary") && !EqualsIgnoringCase(value, "8bit") &&
               !EqualsIgnoringCase(value, "7bit")) {
      return InvalidArgument("found a part with a Content-Transfer-Encoding, expected none");
    }
  }
  return disposed ? OkStatus() : InvalidArgument("found a part without a name");
}

}  // namespace

Result<std::string> FormBoundary(std::string_view content_type) {
  constexpr std::string_view kType = "multipart/form-data";
  if (content_type.size() < kType.size() ||
      !EqualsIgnoringCase(content_type.substr(0, kType.size()), kType)) {
    return InvalidArgument(fmt::format("Content-Type: found \"{}\", expected {}; boundary=…",
                                       content_type.substr(0, 80), kType));
  }
  content_type.remove_prefix(kType.size());
  while (!TrimHttpBlanks(content_type).empty()) {
    std::optional<Parameter> parameter = TakeParameter(&content_type);
    if (!parameter) break;
    if (!EqualsIgnoringCase(parameter->name, "boundary")) continue;
    if (!IsBoundary(parameter->value)) break;
    return std::move(parameter->value);
  }
  return InvalidArgument("Content-Type: expected a boundary of 1 to 70 characters");
}

Result<std::vector<FormPart>> ParseForm(std::string_view body, std::string_view boundary) {
  const std::string delimiter = fmt::format("\r\n--{}", boundary);
  std::vector<FormPart> parts;
  // The first line needs no line before it.
  if (!body.starts_with(std::string_view(delimiter).substr(2))) {
    return InvalidArgument("expected the form to begin with its boundary");
  }
  body.remove_prefix(delimiter.size() - 2);
  while (true) {
    if (body.starts_with("--")) {
      body.remove_prefix(2);
      if (!body.empty() && body != "\r\n") {
        return InvalidArgument("found something after the form's last boundary");
      }
      return parts;
    }
    if (!body.starts_with("\r\n")) {
      return InvalidArgument("found a boundary that a line does not end with");
    }
    body.remove_prefix(2);
    if (parts.size() >= kMostParts) {
      return InvalidArgument(fmt::format("expected at most {} parts", kMostParts));
    }
    const size_t headers = body.substr(0, kMostHeaderBytes).find("\r\n\r\n");
    if (headers == std::string_view::npos) {
      return InvalidArgument(
          fmt::format("expected a part's headers to end within {} bytes", kMostHeaderBytes));
    }
    FormPart part;
    RETURN_IF_ERROR(ReadHeaders(body.substr(0, headers + 2), &part));
    // A part without content has only one line's end before the next boundary.
    body.remove_prefix(headers + 2);
    const size_t end = body.find(delimiter);
    if (end == std::string_view::npos) return InvalidArgument("expected the form's last boundary");
    part.body = end < 2 ? std::string_view() : body.substr(2, end - 2);
    parts.push_back(std::move(part));
    body.remove_prefix(end + delimiter.size());
  }
}

}  // namespace pelton
