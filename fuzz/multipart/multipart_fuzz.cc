#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/multipart.h"

// A line that is a Content-Type, then any bytes as a form of it. Accepted parts lie in the form,
// one after another, and hold no boundary; a form written of them reads the same. A refusal says
// why, briefly.

namespace pelton {
namespace {

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

// Nothing if a name cannot be written.
std::string Written(const std::vector<FormPart>& parts, const std::string& boundary) {
  const auto quoted = [](const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out + "\"";
  };
  std::string form;
  for (const FormPart& part : parts) {
    form += "--" + boundary + "\r\nContent-Disposition: form-data; name=" + quoted(part.name);
    form += "; filename=" + quoted(part.filename) + "\r\n\r\n";
    form += part.body;
    form += "\r\n";
  }
  return form + "--" + boundary + "--\r\n";
}

void RunOne(std::string_view input) {
  const size_t line = input.find('\n');
  if (line == std::string_view::npos) return;
  const Result<std::string> boundary = FormBoundary(input.substr(0, line));
  if (!boundary.ok()) {
    Check(!boundary.status().message().empty() && boundary.status().message().size() < 300);
    return;
  }
  Check(!boundary->empty() && boundary->size() <= 70);
  const std::string_view form = input.substr(line + 1);
  const auto parts = ParseForm(form, *boundary);
  if (!parts.ok()) {
    Check(!parts.status().message().empty() && parts.status().message().size() < 300);
    return;
  }
  Check(parts->size() <= 32);
  const char* at = form.data();
  for (const FormPart& part : *parts) {
    Check(part.body.find("\r\n--" + *boundary) == std::string_view::npos);
    if (part.body.data() == nullptr) continue;
    Check(part.body.data() >= at);
    at = part.body.data() + part.body.size();
    Check(at <= form.data() + form.size());
  }
  const std::string written = Written(*parts, *boundary);
  const auto again = ParseForm(written, *boundary);
  Check(again.ok() && again->size() == parts->size());
  for (size_t i = 0; i < parts->size(); ++i) {
    Check((*again)[i].name == (*parts)[i].name);
    Check((*again)[i].filename == (*parts)[i].filename);
    Check((*again)[i].body == (*parts)[i].body);
  }
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
