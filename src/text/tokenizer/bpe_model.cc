#include "text/tokenizer/bpe_model.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/tokenizer/pair_merger.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

// Up to here looking through all pairs each time is faster than a heap.
constexpr size_t kShort = 48;

}  // namespace

BpeModel::BpeModel(const Vocabulary& vocabulary, MergeTable merges, BpeOptions options)
    : vocabulary_(vocabulary), merges_(std::move(merges)), options_(options) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[byte] = vocabulary.Find({&c, 1});
  }
}

void BpeModel::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  if (piece.empty()) return;
  if (options_.ignore_merges) {
    const int32_t id = vocabulary_.Find(piece);
    if (id != kNoToken) {
      ids->push_back(id);
      return;
    }
  }
  if (options_.byte_level) {
    EncodeBytes(piece, ids);
  } else {
    EncodeCharacters(piece, ids);
  }
}

// Merges join texts, so a token stands for as many bytes as its text has.
size_t BpeModel::MaxTokenBytes() const {
  const bool complete =
      options_.byte_level || (options_.byte_fallback && vocabulary_.HasByteTokens());
  return complete ? std::max<size_t>(1, vocabulary_.longest_text()) : 0;
}

ByteSet BpeModel::LostBytes() const {
  ByteSet lost;
  for (unsigned byte = 0; byte < 256; ++byte) {
    lost[byte] = options_.byte_level && IsUtf8Byte(byte) && byte_ids_[byte] == kNoToken;
  }
  return lost;
}

void BpeModel::EncodeBytes(std::string_view piece, std::vector<int32_t>* ids) const {
  const auto fill = [&](int32_t* symbols) {
    size_t count = 0;
    for (const char c : piece) {
      int32_t id = byte_ids_[static_cast<unsigned char>(c)];
      if (id == kNoToken) id = options_.unknown_id;
      if (id != kNoToken) symbols[count++] = id;
    }
    return count;
  };
  if (piece.size() <= kShort) {
    std::array<int32_t, kShort> symbols;
    const size_t count = fill(symbols.data());
    MergeShort(symbols.data(), count, ids);
    return;
  }
  std::vector<int32_t> symbols(piece.size());
  symbols.resize(fill(symbols.data()));
  MergeLong(std::move(symbols), ids);
}

void BpeModel::EncodeCharacters(std::string_view piece, std::vector<int32_t>* ids) const {
  std::vector<int32_t> symbols;
  symbols.reserve(piece.size());
  bool after_unknown = false;
  for (size_t pos = 0; pos < piece.size();) {
    const size_t start = pos;
    DecodeUtf8(piece, &pos);
    const std::string_view character = piece.substr(start, pos - start);
    const int32_t id = vocabulary_.Find(character);
    if (id != kNoToken) {
      symbols.push_back(id);
      after_unknown = false;
      continue;
    }
    if (options_.byte_fallback) {
      bool complete = true;
      for (const char c : character) {
        complete &= vocabulary_.ByteToken(static_cast<unsigned char>(c)) != kNoToken;
      }
      if (complete) {
        for (const char c : character) {
          symbols.push_back(vocabulary_.ByteToken(static_cast<unsigned char>(c)));
        }
        after_unknown = false;
        continue;
      }
    }
    if (options_.unknown_id == kNoToken || (after_unknown && options_.fuse_unknown)) continue;
    symbols.push_back(options_.unknown_id);
    after_unknown = true;
  }
  if (symbols.size() <= kShort) {
    MergeShort(symbols.data(), symbols.size(), ids);
  } else {
    MergeLong(std::move(symbols), ids);
  }
}

void BpeModel::MergeShort(int32_t* symbols, size_t count, std::vector<int32_t>* ids) const {
  std::array<Merge, kShort> merges;  // of symbols i and i + 1
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = merges_.Find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == Merge::kNoRank) break;
    symbols[best] = merges[best].id;
    --count;
    for (size_t i = best + 1; i < count; ++i) symbols[i] = symbols[i + 1];
    for (size_t i = best + 1; i + 1 < count; ++i) merges[i] = merges[i + 1];
    if (best + 1 < count) merges[best] = merges_.Find(symbols[best], symbols[best + 1]);
    if (best > 0) merges[best - 1] = merges_.Find(symbols[best - 1], symbols[best]);
  }
  ids->insert(ids->end(), symbols, symbols + count);
}

void BpeModel::MergeLong(std::vector<int32_t> symbols, std::vector<int32_t>* ids) const {
  std::vector<MergeSymbol> parts(symbols.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    parts[i] = {static_cast<uint32_t>(i), 1, symbols[i], index - 1,
                i + 1 == parts.size() ? -1 : index + 1};
  }
  struct Found {
    uint32_t priority;
    int32_t id;
  };
  const auto find = [&](const MergeSymbol& left, const MergeSymbol& right) {
    const Merge merge = merges_.Find(left.id, right.id);
    return Found{merge.rank, merge.id};
  };
  std::vector<MergeCandidate<uint32_t>> candidates;
  MergePairs(find, parts, candidates);
  for (const MergeSymbol& part : parts) {
    if (part.size > 0) ids->push_back(part.id);
  }
}

MergeTableBuilder::MergeTableBuilder(const Vocabulary& vocabulary, size_t merges,
                                     MergeTable::Duplicates duplicates)
    : vocabulary_(vocabulary), duplicates_(duplicates) {
  table_.Reset(merges);
}

bool MergeTableBuilder::Add(std::string_view left, std::string_view right) {
  joined_.assign(left);
  joined_.append(right);
  const int32_t left_id = vocabulary_.Find(left);
  const int32_t right_id = vocabulary_.Find(right);
  const int32_t id = vocabulary_.Find(joined_);
  if (left_id == kNoToken || right_id == kNoToken || id == kNoToken) return false;
  table_.Insert(left_id, right_id, {rank_, id}, duplicates_);
  ++rank_;
  return true;
}

}  // namespace pelton::tokenizer
