#include "text/tokenizer/added_tokens.h"

#include <algorithm>

#include "text/tokenizer/unicode.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

bool IsWordCharacter(uint32_t code_point) {
  return code_point == '_' || (CharClasses(code_point) & (kLetter | kMark | kNumber)) != 0;
}

}  // namespace

int32_t AddedTokens::Child(int32_t node, unsigned char byte) const {
  int32_t child = nodes_[static_cast<size_t>(node)].first_child;
  while (child >= 0 && nodes_[static_cast<size_t>(child)].byte != byte) {
    child = nodes_[static_cast<size_t>(child)].sibling;
  }
  return child;
}

bool AddedTokens::Add(std::string_view text, AddedToken token) {
  if (text.empty() || text.size() > kMaxBytes) return false;
  int32_t node = -1;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t next = node < 0 ? roots_[byte] : Child(node, byte);
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      if (node < 0) {
        nodes_.push_back({byte, -1, -1, -1});
        roots_[byte] = next;
      } else {
        nodes_.push_back({byte, -1, nodes_[static_cast<size_t>(node)].first_child, -1});
        nodes_[static_cast<size_t>(node)].first_child = next;
      }
    }
    node = next;
  }
  nodes_[static_cast<size_t>(node)].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  longest_text_ = std::max(longest_text_, text.size());
  takes_space_ |= token.strip_left || token.strip_right;
  spans_words_ |= text.find_first_of(" \t\n\r") != std::string_view::npos;
  return true;
}

bool AddedTokens::Fits(std::string_view text, size_t start, size_t end,
                       const AddedToken& token) const {
  if (!token.single_word) return true;
  if (start > 0) {
    size_t before = PreviousCharacter(text, start);
    if (IsWordCharacter(DecodeUtf8(text, &before))) return false;
  }
  return end == text.size() || !IsWordCharacter(DecodeUtf8(text, &end));
}

std::optional<AddedTokens::Match> AddedTokens::Find(std::string_view text, size_t from,
                                                    bool parse_special) const {
  if (tokens_.empty()) return std::nullopt;
  for (size_t start = from; start < text.size(); ++start) {
    int32_t node = roots_[static_cast<unsigned char>(text[start])];
    const AddedToken* best = nullptr;
    size_t best_end = 0;
    for (size_t pos = start + 1; node >= 0; ++pos) {
      const int32_t token = nodes_[static_cast<size_t>(node)].token;
      if (token >= 0) {
        const AddedToken& candidate = tokens_[static_cast<size_t>(token)];
        if ((parse_special || !candidate.special) && Fits(text, start, pos, candidate)) {
          best = &candidate;
          best_end = pos;
        }
      }
      if (pos == text.size()) break;
      node = Child(node, static_cast<unsigned char>(text[pos]));
    }
    if (best == nullptr) continue;
    Match match{start, best_end, *best};
    while (best->strip_left && match.start > from) {
      const size_t before = PreviousCharacter(text, match.start);
      size_t pos = before;
      if (before < from || !(CharClasses(DecodeUtf8(text, &pos)) & kSpace)) break;
      match.start = before;
    }
    while (best->strip_right && match.end < text.size()) {
      size_t pos = match.end;
      if (!(CharClasses(DecodeUtf8(text, &pos)) & kSpace)) break;
      match.end = pos;
    }
    return match;
  }
  return std::nullopt;
}

std::optional<AddedToken> AddedTokens::Exact(std::string_view text) const {
  int32_t node = -1;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node = i == 0 ? roots_[byte] : Child(node, byte);
    if (node < 0) return std::nullopt;
  }
  if (node < 0 || nodes_[static_cast<size_t>(node)].token < 0) return std::nullopt;
  return tokens_[static_cast<size_t>(nodes_[static_cast<size_t>(node)].token)];
}

}  // namespace pelton::tokenizer
