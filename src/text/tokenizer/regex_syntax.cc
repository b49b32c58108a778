#include "text/tokenizer/regex_syntax.h"

#include <cstddef>

namespace pelton::tokenizer {

namespace {

// PCRE2 counts U+180E as white space, which it is not since Unicode 6.3, and not all marks and
// connectors as word characters.
constexpr std::string_view kSpaceClass = R"(\t-\r\x{85}\p{Z})";
constexpr std::string_view kWordClass = R"(\p{L}\p{M}\p{Nd}\p{Pc})";
constexpr size_t kMaxClassDepth = 8;

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> Run() {
    while (pos_ < in_.size()) {
      if (in_[pos_] == '\\') {
        RETURN_IF_ERROR(Escape(false, &out_));
      } else if (in_[pos_] == '[') {
        RETURN_IF_ERROR(Class(0, &out_));
      } else {
        out_ += in_[pos_++];
      }
    }
    return std::move(out_);
  }

 private:
  Status Unfinished(std::string_view what) const {
    return InvalidArgument("the regular expression \"" + std::string(in_.substr(0, 200)) +
                           "\" ends inside " + std::string(what));
  }

  // At a backslash.
  Status Escape(bool in_class, std::string* out) {
    if (pos_ + 1 >= in_.size()) return Unfinished("an escape");
    const char c = in_[pos_ + 1];
    const auto put = [&](std::string_view members, bool negated) {
      if (in_class) {
        out->append(members);
      } else {
        out->append(negated ? "[^" : "[").append(members).append("]");
      }
      pos_ += 2;
    };
    if (c == 's') {
      put(kSpaceClass, false);
    } else if (c == 'w') {
      put(kWordClass, false);
    } else if (c == 'S' && !in_class) {
      put(kSpaceClass, true);
    } else if (c == 'W' && !in_class) {
      put(kWordClass, true);
    } else if (c == 'h') {  // Ruby: a hexadecimal digit
      put("0-9A-Fa-f", false);
    } else if (c == 'u') {  // \uHHHH
      if (pos_ + 6 > in_.size()) return Unfinished("an escape");
      out->append("\\x{").append(in_.substr(pos_ + 2, 4)).append("}");
      pos_ += 6;
    } else {
      out->append(in_.substr(pos_, 2));
      pos_ += 2;
    }
    return OkStatus();
  }

  // At an opening bracket. A & B = A where B matches too, so the intersection is a look-ahead.
  Status Class(size_t depth, std::string* out) {
    if (depth > kMaxClassDepth) {
      return InvalidArgument("the regular expression \"" + std::string(in_.substr(0, 200)) +
                             "\" nests classes too deeply");
    }
    ++pos_;
    std::string members = "[";
    if (pos_ < in_.size() && in_[pos_] == '^') {
      members += '^';
      ++pos_;
    }
    const bool negated = members.size() == 2;
    bool first = true;
    for (; pos_ < in_.size(); first = false) {
      if (in_[pos_] == ']' && !first) {
        ++pos_;
        out->append(members).append("]");
        return OkStatus();
      }
      if (in_[pos_] == '\\') {
        RETURN_IF_ERROR(Escape(true, &members));
      } else if (in_.substr(pos_, 2) == "[:") {
        const size_t end = in_.find(":]", pos_ + 2);
        if (end == std::string_view::npos) return Unfinished("a class");
        members.append(in_.substr(pos_, end + 2 - pos_));
        pos_ = end + 2;
      } else if (in_.substr(pos_, 2) == "&&") {
        pos_ += 2;
        if (negated || pos_ >= in_.size() || in_[pos_] != '[') return UnknownSetOperation();
        std::string other;
        RETURN_IF_ERROR(Class(depth + 1, &other));
        if (pos_ >= in_.size() || in_[pos_] != ']') return UnknownSetOperation();
        ++pos_;
        out->append("(?:(?=").append(other).append(")").append(members).append("])");
        return OkStatus();
      } else if (in_[pos_] == '[') {
        return UnknownSetOperation();
      } else {
        members += in_[pos_++];
      }
    }
    return Unfinished("a class");
  }

  Status UnknownSetOperation() const {
    return InvalidArgument("the regular expression \"" + std::string(in_.substr(0, 200)) +
                           "\" has a class within a class in a form that is not supported");
  }

  std::string_view in_;
  size_t pos_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> TranslateRegex(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace pelton::tokenizer
