#include "text/tokenizer/token_model.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

class WordPieceModel : public TokenModel {
 public:
  WordPieceModel(std::vector<std::pair<std::string_view, int32_t>> starting,
                 std::vector<std::pair<std::string_view, int32_t>> continuing,
                 WordPieceOptions options)
      : options_(options) {
    starting_.Reserve(starting.size());
    for (const auto& [text, id] : starting) starting_.Insert(text, id);
    continuing_.Reserve(continuing.size());
    for (const auto& [text, id] : continuing) continuing_.Insert(text, id);
  }

  void Encode(std::string_view text, std::vector<int32_t>* ids) const override {
    const size_t first = ids->size();
    if (!CharactersWithin(text, options_.max_characters) || !Segment(text, ids)) {
      ids->resize(first);
      if (options_.unknown_id >= 0) ids->push_back(options_.unknown_id);
    }
  }

 private:
  static bool CharactersWithin(std::string_view text, size_t limit) {
    size_t count = 0;
    for (size_t pos = 0; pos < text.size(); ++count) {
      if (count == limit) return false;
      DecodeUtf8(text, &pos);
    }
    return true;
  }

  bool Segment(std::string_view text, std::vector<int32_t>* ids) const {
    for (size_t begin = 0; begin < text.size();) {
      const TextIndex& index = begin == 0 ? starting_ : continuing_;
      size_t end = text.size();
      int32_t id = -1;
      while (end > begin) {
        if (end - begin <= index.longest_bytes()) id = index.Find(text.substr(begin, end - begin));
        if (id >= 0) break;
        end = PreviousCharacter(text, end);
      }
      if (id < 0) return false;
      ids->push_back(id);
      begin = end;
    }
    return true;
  }

  WordPieceOptions options_;
  TextIndex starting_;
  TextIndex continuing_;
};

class WordLevelModel : public TokenModel {
 public:
  WordLevelModel(const TextIndex& index, int32_t unknown_id)
      : index_(&index), unknown_id_(unknown_id) {}

  void Encode(std::string_view text, std::vector<int32_t>* ids) const override {
    const int32_t id = index_->Find(text);
    if (id >= 0) {
      ids->push_back(id);
    } else if (unknown_id_ >= 0) {
      ids->push_back(unknown_id_);
    }
  }

 private:
  const TextIndex* index_;
  int32_t unknown_id_;
};

}  // namespace

std::unique_ptr<TokenModel> MakeWordPieceModel(
    std::vector<std::pair<std::string_view, int32_t>> starting,
    std::vector<std::pair<std::string_view, int32_t>> continuing, WordPieceOptions options) {
  return std::make_unique<WordPieceModel>(std::move(starting), std::move(continuing), options);
}

std::unique_ptr<TokenModel> MakeWordLevelModel(const TextIndex& index, int32_t unknown_id) {
  return std::make_unique<WordLevelModel>(index, unknown_id);
}

}  // namespace pelton::tokenizer
