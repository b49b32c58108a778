#include "runtime/speculate/draft_model.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace pelton {

DraftModel::DraftModel(StepExecutor& executor, const DraftCache& cache, size_t vocab_size,
                       const Clock& clock)
    : executor_(executor),
      cache_(cache),
      vocab_size_(std::min(vocab_size, executor.vocab_size())),
      clock_(clock) {
  const StepLimits& limits = executor.limits();
  tokens_.reserve(limits.max_tokens);
  positions_.reserve(limits.max_tokens);
  slots_.reserve(limits.max_tokens);
  spans_.reserve(limits.max_sequences);
  logit_rows_.reserve(limits.max_sequences);
  sources_.reserve(limits.max_sequences);
  chains_.reserve(limits.max_sequences);
  states_.reserve(limits.max_sequences * executor.hidden_size());
}

void DraftModel::ClearBlock(int32_t block) {
  const KvCacheView& view = cache_.view;
  std::memset(view.K(static_cast<size_t>(block), cache_.first_layer, 0), 0,
              (view.layers - cache_.first_layer) * view.LayerBytes());
}

void DraftModel::ClearRows() {
  tokens_.clear();
  positions_.clear();
  slots_.clear();
  spans_.clear();
  logit_rows_.clear();
  shape_ = {};
}

void DraftModel::Clear() {
  ClearRows();
  sources_.clear();
  chains_.clear();
}

void DraftModel::AddRow(const Sequence& sequence, size_t position, int32_t token) {
  const size_t block_tokens = cache_.view.block_tokens;
  const auto block = static_cast<size_t>(sequence.blocks[position / block_tokens]);
  // The main model's vocabulary may go on where the draft model's ends.
  tokens_.push_back(static_cast<size_t>(token) < executor_.vocab_size() ? token : 0);
  positions_.push_back(static_cast<int32_t>(position));
  slots_.push_back(static_cast<int32_t>(block * block_tokens + position % block_tokens));
}

bool DraftModel::Add(Sequence& sequence, size_t begin, size_t hidden_row) {
  const size_t known = sequence.tokens.size();
  size_t end;
  if (FromHidden()) {
    // Where only a prompt was wanted, the token after its last one is not known.
    end = std::min(sequence.computed_tokens, known - 1);
  } else {
    const StepLimits& limits = executor_.limits();
    begin = sequence.drafted_tokens;
    // The last token's block may be one that the next step takes.
    end = std::min({known, sequence.blocks.size() * cache_.view.block_tokens,
                    begin + limits.max_tokens - tokens_.size(), limits.max_context});
    sequence.drafted_tokens = std::max(begin, end);
  }
  if (begin >= end) return false;
  spans_.push_back({.first_row = static_cast<int32_t>(tokens_.size()),
                    .count = static_cast<int32_t>(end - begin),
                    .context = static_cast<int32_t>(end),
                    .block_table = sequence.blocks.data()});
  const size_t ahead = FromHidden() ? 1 : 0;
  for (size_t i = begin; i < end; ++i) AddRow(sequence, i, sequence.tokens[i + ahead]);
  shape_.Add(begin, end - begin, end > sequence.prompt_tokens);
  if (FromHidden()) sources_.push_back({hidden_row, end - begin});
  return end + ahead == known;
}

void DraftModel::Ask(const Sequence& sequence, size_t guesses, ModelDrafter& drafter) {
  PELTON_CHECK(guesses > 0, "there is something to guess");
  chains_.push_back({.sequence = &sequence,
                     .drafter = &drafter,
                     .position = static_cast<size_t>(positions_.back()),
                     .wanted = std::min(guesses, ModelDrafter::kMaxGuesses),
                     .logit_row = logit_rows_.size(),
                     .guesses = {},
                     .made = 0});
  logit_rows_.push_back(static_cast<int32_t>(tokens_.size() - 1));
}

size_t DraftModel::Run(std::span<const float> hidden) {
  if (tokens_.empty()) return 0;
  const size_t size = executor_.hidden_size();
  std::span<float> to = executor_.HiddenInput(tokens_.size());
  for (const Source& source : sources_) {
    const std::span<const float> from = hidden.subspan(source.row * size, source.count * size);
    std::ranges::copy(from, to.begin());
    to = to.subspan(from.size());
  }
  RunPass();
  size_t passes = 1;
  while (AddNextRows(passes)) {
    std::ranges::copy(states_, executor_.HiddenInput(tokens_.size()).begin());
    RunPass();
    ++passes;
  }
  for (const Chain& chain : chains_) {
    chain.drafter->SetGuesses(std::span(chain.guesses).first(chain.made));
  }
  return passes;
}

void DraftModel::RunPass() {
  const int64_t start_ns = clock_.NowNs();
  const std::span<const float> logits = executor_.Run({.tokens = tokens_,
                                                       .positions = positions_,
                                                       .slots = slots_,
                                                       .sequences = spans_,
                                                       .logit_rows = logit_rows_});
  const size_t vocab = executor_.vocab_size();
  for (Chain& chain : chains_) {
    if (chain.made == chain.wanted) continue;
    const std::span<const float> row = logits.subspan(chain.logit_row * vocab, vocab_size_);
    chain.guesses[chain.made++] =
        static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
  }
  predictor_.Observe(shape_, clock_.NowNs() - start_ns);
}

bool DraftModel::AddNextRows(size_t made) {
  const size_t size = executor_.hidden_size();
  const std::span<const float> hidden = executor_.hidden();
  ClearRows();
  states_.clear();
  for (Chain& chain : chains_) {
    // A row at the end of the blocks is not worth a block of its own.
    const size_t position = chain.position + made;
    if (chain.made < made || position >= executor_.limits().max_context ||
        position >= chain.sequence->blocks.size() * cache_.view.block_tokens) {
      chain.wanted = chain.made;
    }
    if (chain.made == chain.wanted) continue;
    const std::span<const float> state = hidden.subspan(chain.logit_row * size, size);
    states_.insert(states_.end(), state.begin(), state.end());
    chain.logit_row = logit_rows_.size();
    logit_rows_.push_back(static_cast<int32_t>(tokens_.size()));
    spans_.push_back({.first_row = static_cast<int32_t>(tokens_.size()),
                      .count = 1,
                      .context = static_cast<int32_t>(position + 1),
                      .block_table = chain.sequence->blocks.data()});
    AddRow(*chain.sequence, position, chain.guesses[made - 1]);
    shape_.Add(position, 1, true);
  }
  return !tokens_.empty();
}

}  // namespace pelton
