#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace pelton::tokenizer {

// A token that is recognised in a text before anything else happens to it.
struct AddedToken {
  int32_t id;
  bool special;              // recognised on request only
  bool strip_left = false;   // takes the white space before it along
  bool strip_right = false;  // and the one behind it
  bool single_word = false;  // only where no word character is beside it
};

// Finds added tokens in texts: of those that begin leftmost the longest. A trie of bytes.
class AddedTokens {
 public:
  // Longer texts are refused, so that a search is linear in the text.
  static constexpr size_t kMaxBytes = 4096;

  // False if `text` is empty or longer than kMaxBytes. Of equal texts the last stays.
  [[nodiscard]] bool Add(std::string_view text, AddedToken token);
  bool empty() const { return tokens_.empty(); }
  // Bytes of the longest, without the white space that it takes along.
  size_t longest_text() const { return longest_text_; }
  // Whether one takes white space along.
  bool takes_space() const { return takes_space_; }
  // Whether the text of one has a space, a tab or a line end.
  bool spans_words() const { return spans_words_; }

  struct Match {
    size_t start;  // in bytes, white space that belongs to the token included
    size_t end;
    AddedToken token;
  };
  // The first match at or after `from`; special tokens only with `parse_special`.
  std::optional<Match> Find(std::string_view text, size_t from, bool parse_special) const;
  // The token whose text this is.
  std::optional<AddedToken> Exact(std::string_view text) const;

 private:
  struct Node {
    unsigned char byte;
    int32_t first_child;
    int32_t sibling;
    int32_t token;  // index into tokens_, -1 if no token ends here
  };

  int32_t Child(int32_t node, unsigned char byte) const;
  bool Fits(std::string_view text, size_t start, size_t end, const AddedToken& token) const;

  std::array<int32_t, 256> roots_ = [] {
    std::array<int32_t, 256> none;
    none.fill(-1);
    return none;
  }();
  std::vector<Node> nodes_;
  std::vector<AddedToken> tokens_;
  size_t longest_text_ = 0;
  bool takes_space_ = false;
  bool spans_words_ = false;
};

}  // namespace pelton::tokenizer
