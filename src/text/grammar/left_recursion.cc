#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "text/grammar/grammar_format.h"

namespace pelton::grammar {
namespace {

// A part of a rule: what it may begin with, and whether it may be nothing.
struct Part {
  enum class Kind : uint8_t { kText, kRule, kRow, kChoice };
  Kind kind = Kind::kText;
  bool may_be_nothing = false;
  std::string rule;         // kRule
  std::vector<Part> parts;  // kRow, kChoice
};

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

// Reads a grammar that RewriteEbnf has checked, as far as its form is sound.
class RuleReader {
 public:
  explicit RuleReader(std::string_view text) : text_(text) {}

  std::map<std::string, Part> Read() {
    std::map<std::string, Part> rules;
    while (const std::optional<std::string> name = RuleHead()) {
      rules[*name] = Choice();
      if (at_ < text_.size() && text_[at_] == ')') break;
    }
    return rules;
  }

 private:
  void SkipSpace() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  std::string Name() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameByte(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  // The name of a rule that begins here; else nothing is read.
  std::optional<std::string> RuleHead() {
    SkipSpace();
    const size_t begin = at_;
    std::string name = Name();
    SkipSpace();
    if (!name.empty() && text_.substr(at_, 3) == "::=") {
      at_ += 3;
      return name;
    }
    at_ = begin;
    return std::nullopt;
  }
  void SkipQuoted(char end) {
    for (++at_; at_ < text_.size() && text_[at_] != end; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    at_ = std::min(at_ + 1, text_.size());
  }

  Part Choice() {
    Part choice{.kind = Part::Kind::kChoice};
    while (true) {
      choice.parts.push_back(Row());
      SkipSpace();
      if (at_ >= text_.size() || text_[at_] != '|') return choice;
      ++at_;
    }
  }

  Part Row() {
    Part row{.kind = Part::Kind::kRow};
    while (true) {
      SkipSpace();
      if (at_ >= text_.size() || text_[at_] == '|' || text_[at_] == ')') return row;
      Part part;
      const char c = text_[at_];
      if (c == '"') {
        part.may_be_nothing = text_.substr(at_, 2) == "\"\"";
        SkipQuoted('"');
      } else if (c == '[') {
        SkipQuoted(']');
      } else if (c == '(') {
        ++at_;
        part = Choice();
        if (at_ < text_.size()) ++at_;
      } else if (IsNameByte(c)) {
        const size_t begin = at_;
        if (RuleHead()) {
          at_ = begin;  // the next rule
          return row;
        }
        part.kind = Part::Kind::kRule;
        part.rule = Name();
      } else {
        ++at_;
        continue;
      }
      SkipSpace();
      const std::string_view rest = text_.substr(at_);
      if (rest.starts_with('*') || rest.starts_with('?') || rest.starts_with("{0")) {
        part.may_be_nothing = true;
      }
      if (rest.starts_with('{')) SkipQuoted('}');
      row.parts.push_back(std::move(part));
    }
  }

  const std::string_view text_;
  size_t at_ = 0;
};

bool MayBeNothing(const Part& part, const std::set<std::string>& empty_rules) {
  if (part.may_be_nothing) return true;
  const auto nothing = [&](const Part& one) { return MayBeNothing(one, empty_rules); };
  switch (part.kind) {
    case Part::Kind::kText:
      return false;
    case Part::Kind::kRule:
      return empty_rules.contains(part.rule);
    case Part::Kind::kRow:
      return std::all_of(part.parts.begin(), part.parts.end(), nothing);
    case Part::Kind::kChoice:
      return std::any_of(part.parts.begin(), part.parts.end(), nothing);
  }
  return false;
}

void AddFirstRules(const Part& part, const std::set<std::string>& empty_rules,
                   std::set<std::string>* first) {
  if (part.kind == Part::Kind::kRule) first->insert(part.rule);
  for (const Part& one : part.parts) {
    AddFirstRules(one, empty_rules, first);
    if (part.kind == Part::Kind::kRow && !MayBeNothing(one, empty_rules)) return;
  }
}

}  // namespace

std::string LeftRecursiveRule(std::string_view checked) {
  const std::map<std::string, Part> rules = RuleReader(checked).Read();
  std::set<std::string> empty_rules;
  // One round finds at least one rule or is the last.
  for (size_t before = 1, after = 0; before != after;) {
    before = empty_rules.size();
    for (const auto& [name, body] : rules) {
      if (!empty_rules.contains(name) && MayBeNothing(body, empty_rules)) empty_rules.insert(name);
    }
    after = empty_rules.size();
  }
  std::map<std::string, std::set<std::string>> first;
  for (const auto& [name, body] : rules) AddFirstRules(body, empty_rules, &first[name]);
  // Rules that begin with no rule that is left are sound; what remains begins with itself.
  for (bool changed = true; changed;) {
    changed = false;
    for (auto rule = first.begin(); rule != first.end();) {
      std::erase_if(rule->second, [&](const std::string& name) { return !first.contains(name); });
      changed |= rule->second.empty();
      rule = rule->second.empty() ? first.erase(rule) : std::next(rule);
    }
  }
  return first.empty() ? "" : first.begin()->first;
}

}  // namespace pelton::grammar
