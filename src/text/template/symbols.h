#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "text/template/ast.h"

namespace pelton::jinja {

// The variables of one frame while they are being found.
class Symbols {
 public:
  struct Change {
    uint32_t index;
    FrameLayout::Variable state;
  };
  using Changes = std::vector<Change>;

  Symbols(FrameLayout& layout, const Symbols* parent) : layout_(layout), parent_(parent) {
    layout_.detached = parent == nullptr;
  }

  std::optional<Slot> Find(std::string_view name) const {
    uint32_t hops = 0;
    for (const Symbols* symbols = this; symbols != nullptr; symbols = symbols->parent_, ++hops) {
      const auto it = symbols->index_.find(name);
      if (it != symbols->index_.end() &&
          symbols->layout_.variables[it->second].load != Load::kNone) {
        return Slot{it->second, hops};
      }
    }
    return std::nullopt;
  }

  // A name is read.
  void Read(std::string_view name) {
    if (!Find(name)) Define(name, Load::kResolve, {}, false);
  }

  // A name is set.
  void Store(std::string_view name) {
    const uint32_t index = IndexOf(name);
    FrameLayout::Variable state = layout_.variables[index];
    state.stored = true;
    if (state.load == Load::kNone) {
      state.load = Load::kUnset;
      if (const std::optional<Slot> outer = Outer(name)) {
        state.load = Load::kAlias;
        state.outer = *outer;
      }
    }
    Set(index, state);
  }

  uint32_t DeclareParameter(std::string_view name) {
    return Define(name, Load::kParameter, {}, true);
  }

  // Keeps the next index unused, so that two layouts number their variables alike.
  void SkipIndex() { layout_.variables.emplace_back(); }

  // What `walk` changes, which is undone.
  Changes Branch(const std::function<void()>& walk) {
    const size_t mark = journal_.size();
    walk();
    std::set<uint32_t> touched;
    for (size_t i = mark; i < journal_.size(); ++i) touched.insert(journal_[i].index);
    Changes changes;
    for (const uint32_t index : touched) changes.push_back({index, layout_.variables[index]});
    while (journal_.size() > mark) {
      layout_.variables[journal_.back().index] = journal_.back().state;
      journal_.pop_back();
    }
    return changes;
  }

  // Joins the branches of an `if`. A name that only some of them set holds before the `if` what it
  // would hold without it.
  void Merge(const std::vector<Changes>& branches) {
    std::set<uint32_t> newly_stored;
    for (const Changes& branch : branches) {
      for (const Change& change : branch) {
        if (change.state.stored && !layout_.variables[change.index].stored) {
          newly_stored.insert(change.index);
        }
      }
    }
    for (const Changes& branch : branches) {
      for (const Change& change : branch) {
        FrameLayout::Variable state = layout_.variables[change.index];
        if (change.state.load != Load::kNone) {
          state.load = change.state.load;
          state.outer = change.state.outer;
        }
        state.stored = state.stored || change.state.stored;
        Set(change.index, state);
      }
    }
    for (const uint32_t index : newly_stored) {
      FrameLayout::Variable state = layout_.variables[index];
      state.load = Load::kResolve;
      if (const std::optional<Slot> outer = Outer(state.name)) {
        state.load = Load::kAlias;
        state.outer = *outer;
      }
      Set(index, state);
    }
  }

 private:
  std::optional<Slot> Outer(std::string_view name) const {
    if (parent_ == nullptr) return std::nullopt;
    std::optional<Slot> outer = parent_->Find(name);
    if (outer) ++outer->hops;
    return outer;
  }

  uint32_t IndexOf(std::string_view name) {
    const auto [it, added] = index_.emplace(name, static_cast<uint32_t>(layout_.variables.size()));
    if (added) layout_.variables.emplace_back().name = name;
    return it->second;
  }

  uint32_t Define(std::string_view name, Load load, Slot outer, bool stored) {
    const uint32_t index = IndexOf(name);
    FrameLayout::Variable state = layout_.variables[index];
    state.load = load;
    state.outer = outer;
    state.stored = state.stored || stored;
    Set(index, state);
    return index;
  }

  void Set(uint32_t index, const FrameLayout::Variable& state) {
    journal_.push_back({index, layout_.variables[index]});
    layout_.variables[index] = state;
  }

  FrameLayout& layout_;
  const Symbols* parent_;
  std::map<std::string_view, uint32_t> index_;
  Changes journal_;  // the states before each change, for Branch
};

}  // namespace pelton::jinja
