#include "text/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "text/tokenizer/tokenizer_parts.h"
#include "text/tokenizer/utf8.h"

namespace pelton {

using tokenizer::AddedTokens;
using tokenizer::kNoToken;
using tokenizer::TokenizerParts;

namespace {

// Calls `on_text` and `on_token` for what is between the added tokens in `text`, and for them.
template <typename OnText, typename OnToken>
void SplitAtTokens(const AddedTokens& added, std::string_view text, bool parse_special,
                   const OnText& on_text, const OnToken& on_token) {
  size_t pos = 0;
  while (pos < text.size()) {
    const std::optional<AddedTokens::Match> match = added.Find(text, pos, parse_special);
    const size_t end = match ? match->start : text.size();
    if (end > pos) on_text(text.substr(pos, end - pos));
    if (!match) break;
    on_token(match->token.id);
    pos = match->end;
  }
}

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts) {
  PELTON_CHECK(parts.vocabulary != nullptr && parts.model != nullptr,
               "a tokenizer has a vocabulary and a model");
  parts.bound = tokenizer::BoundOf(parts);
  parts_ = std::make_unique<const TokenizerParts>(std::move(parts));
}

Tokenizer::~Tokenizer() = default;

size_t Tokenizer::vocab_size() const { return parts_->vocabulary->size(); }

std::vector<int32_t> Tokenizer::Encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  if (options.add_special) ids = parts_->prefix;
  bool at_start = true;
  const auto add_token = [&](int32_t id) {
    ids.push_back(id);
    at_start = false;
  };
  const auto encode_normalized = [&](std::string_view part) {
    const tokenizer::Pieces pieces = parts_->pre_tokenizer.Split(part, at_start);
    at_start = false;
    for (const std::string_view piece : pieces.views) parts_->model->Encode(piece, &ids);
  };
  const auto encode = [&](std::string_view part) {
    std::string normalized;
    SplitAtTokens(parts_->added_normalized, parts_->normalizer.Apply(part, &normalized),
                  options.parse_special, encode_normalized, add_token);
  };
  std::string replaced;
  SplitAtTokens(parts_->added, tokenizer::ReplaceInvalidUtf8(text, &replaced),
                options.parse_special, encode, add_token);
  if (options.add_special) {
    ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  }
  return ids;
}

size_t Tokenizer::MinTokens(std::string_view text) const { return parts_->bound.MinTokens(text); }

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  bool started = false;
  for (const int32_t id : ids) {
    if (!parts_->vocabulary->Has(id) || (skip_special && IsSpecial(id))) continue;
    std::string_view piece = Piece(id);
    if (piece.empty()) continue;
    if (!started && parts_->strips_first_space && piece.starts_with(' ')) piece.remove_prefix(1);
    started = true;
    bytes.append(piece);
  }
  std::string replaced;
  const std::string_view text = tokenizer::ReplaceInvalidUtf8(bytes, &replaced);
  return text.data() == bytes.data() ? bytes : replaced;
}

std::string_view Tokenizer::Piece(int32_t id) const {
  return parts_->vocabulary->Has(id) ? parts_->vocabulary->piece(id) : std::string_view();
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return parts_->vocabulary->Has(id) && parts_->vocabulary->IsSpecial(id);
}

bool Tokenizer::IsEndOfGeneration(int32_t id) const {
  return std::binary_search(parts_->end_of_generation.begin(), parts_->end_of_generation.end(), id);
}

std::span<const int32_t> Tokenizer::end_of_generation_ids() const {
  return parts_->end_of_generation;
}

std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->eos; }
std::optional<int32_t> Tokenizer::eot_id() const { return parts_->eot; }
std::optional<int32_t> Tokenizer::unknown_id() const { return parts_->unknown; }
std::optional<int32_t> Tokenizer::padding_id() const { return parts_->padding; }

bool Tokenizer::adds_bos() const {
  return parts_->bos && !parts_->prefix.empty() && parts_->prefix.front() == *parts_->bos;
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view text) const {
  for (const AddedTokens* added : {&parts_->added, &parts_->added_normalized}) {
    if (const auto token = added->Exact(text)) return token->id;
  }
  const int32_t id = parts_->vocabulary->FindAny(text);
  if (id == kNoToken) return std::nullopt;
  return id;
}

bool Tokenizer::strips_first_space() const { return parts_->strips_first_space; }

}  // namespace pelton
