#include "runtime/engine/answer_rereader.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

namespace pelton {
namespace {

constexpr size_t kMostAnswers = 32;
constexpr size_t kMostStepTokens = 64;

}  // namespace

AnswerRereader::AnswerRereader(BlockPool& pool, PrefixIndex& index, StepExecutor& executor,
                               StepAssembler& assembler, DraftModel* draft_model)
    : pool_(pool),
      index_(index),
      executor_(executor),
      assembler_(assembler),
      draft_model_(draft_model) {
  answers_.reserve(kMostAnswers);
}

size_t AnswerRereader::WholeBlocks(const Sequence& sequence) const {
  return sequence.tokens.size() / pool_.view().block_tokens * pool_.view().block_tokens;
}

void AnswerRereader::Offer(Sequence& ended) {
  if (WholeBlocks(ended) <= ended.prompt_tokens) return;
  if (answers_.size() == kMostAnswers) answers_.erase(answers_.begin());
  answers_.push_back(std::move(ended));
  Sequence& answer = answers_.back();
  answer.prompt_tokens = answer.tokens.size();
  answer.params.prompt_logprobs.reset();
  answer.keys.clear();
  answer.last_key = answer.root_key;
}

// Takes what is cached of it.
void AnswerRereader::Begin(Sequence& answer) {
  answer.ExtendKeys(pool_.view().block_tokens);
  const size_t cached = index_.Find(answer.keys, answer.tokens).blocks;
  index_.Take(answer.keys, cached, answer.blocks);
  answer.BeginBehind(cached, pool_.view().block_tokens);
}

bool AnswerRereader::Step() {
  const size_t block_tokens = pool_.view().block_tokens;
  while (!answers_.empty()) {
    Sequence& answer = answers_.back();
    if (answer.blocks.size() == 0) Begin(answer);
    const size_t count = std::min({WholeBlocks(answer) - answer.computed_tokens, kMostStepTokens,
                                   executor_.limits().max_tokens});
    const size_t end = answer.computed_tokens + count;
    while (answer.blocks.size() * block_tokens < end) {
      std::optional<BlockRef> block = pool_.Allocate();
      if (!block) break;
      if (draft_model_ != nullptr) draft_model_->ClearBlock(block->block());
      answer.blocks.Append(*std::move(block));
    }
    if (count == 0 || answer.blocks.size() * block_tokens < end) {
      answers_.pop_back();
      continue;
    }
    assembler_.Clear();
    assembler_.Add(answer, count, {});
    assembler_.EndPrompts();
    executor_.Run(assembler_.batch());
    const size_t begin = std::exchange(answer.computed_tokens, end);
    if (draft_model_ != nullptr) {
      draft_model_->Clear();
      draft_model_->Add(answer, begin, 0);
      draft_model_->Run(executor_.hidden());
    }
    for (; (answer.published_blocks + 1) * block_tokens <= end; ++answer.published_blocks) {
      const size_t i = answer.published_blocks;
      index_.Publish(answer.blocks[i], answer.keys[i],
                     std::span(answer.tokens).subspan(i * block_tokens, block_tokens));
    }
    return true;
  }
  return false;
}

void AnswerRereader::Pause() {
  if (!answers_.empty()) answers_.back().DropBlocks();
}

}  // namespace pelton
