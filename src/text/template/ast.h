#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/template.h"
#include "text/template/value.h"

// The syntax tree of a template. Every string_view points into Program::source.
namespace pelton::jinja {

struct Filter;
struct Predicate;

// Where a variable lives: `hops` frames up from the current one, at `index`.
struct Slot {
  uint32_t index = 0;
  uint32_t hops = 0;
};

// What a variable of a frame holds when the frame is entered. Jinja decides this when it compiles,
// from where names are read and set; templates depend on the details. Source: Jinja2 idtracking.py.
enum class Load : uint8_t {
  kNone,       // not used in this frame
  kParameter,  // set by who enters the frame
  kResolve,    // the rendering's variable or the global function of this name
  kAlias,      // a copy of the outer frame's variable
  kUnset,
};

struct FrameLayout {
  struct Variable {
    std::string_view name;
    Load load = Load::kNone;
    Slot outer;           // for kAlias, seen from this frame
    bool stored = false;  // some statement sets it
  };
  std::vector<Variable> variables;
  bool detached = false;  // has no enclosing frame: the root, and blocks
};

enum class ExprKind : uint8_t {
  kConstant,         // constant
  kName,             // name, slot
  kTuple,            // items
  kList,             // items
  kDict,             // items: key, value, key, value ...
  kAttribute,        // items[0].name
  kItem,             // items[0][items[1]]
  kSlice,            // items: start, stop, step, each may be null; only as items[1] of kItem
  kCall,             // items[0](items[1...], tail)
  kFilter,           // items[0] | name(items[1...], tail); items[0] is null in a filter block
  kTest,             // items[0] is name(items[1...], tail)
  kNot,              // items[0]
  kNegate,           // items[0]
  kPlus,             // items[0]
  kBinary,           // items[0] op items[1]
  kConcat,           // items joined as text
  kAnd,              // items[0], items[1]
  kOr,               // items[0], items[1]
  kCompare,          // items[0] ops[0] items[1] ops[1] items[2] ...
  kConditional,      // items: value, condition, other value or null
  kNamespaceTarget,  // name.attribute as the target of set: slot, name, attribute
};

enum class BinaryOp : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower
};

enum class CompareOp : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// What a call, filter or test has beside positional arguments.
struct CallTail {
  std::vector<std::pair<std::string_view, ExprPtr>> named;
  ExprPtr star;         // *positional
  ExprPtr double_star;  // **named
};

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  BinaryOp op = BinaryOp::kAdd;
  bool is_store = false;  // a kName that is set, not read
  uint16_t height = 1;    // of the tree below, at most kMaxExprHeight
  int line = 0;
  Slot slot;
  std::string_view name;
  std::string_view attribute;
  Value constant;  // kName: the undefined value that it reads as when nothing is set
  std::vector<ExprPtr> items;
  std::vector<CompareOp> compare_ops;
  std::unique_ptr<CallTail> tail;
  const Filter* filter = nullptr;        // null if there is none of that name
  const Predicate* predicate = nullptr;  // likewise
};

enum class StmtKind : uint8_t {
  kText,         // text
  kOutput,       // value
  kFor,          // target in value if test: body, else otherwise
  kIf,           // branches, otherwise
  kMacro,        // name(parameters): body
  kCallBlock,    // call (parameters) value: body
  kFilterBlock,  // value is the filter chain, body
  kSet,          // target = value
  kSetBlock,     // target = body, through the filter chain value if given
  kWith,         // parameters: name and value; body
  kScope,        // body in a frame of its own (autoescape false)
  kBlock,        // body in a detached frame
  kBreak,
  kContinue,
  kUnavailable,  // a tag that needs other template files: fails when it runs
};

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;
using StmtList = std::vector<StmtPtr>;

struct Stmt {
  struct Branch {
    ExprPtr test;
    StmtList body;
  };
  struct Parameter {
    ExprPtr target;  // a kName
    ExprPtr value;   // default of a macro's parameter, may be null; value of a with
  };

  StmtKind kind = StmtKind::kText;
  int line = 0;
  std::string_view text;  // kText: what to print; else the macro's, block's or tag's name
  ExprPtr target;
  ExprPtr value;
  ExprPtr test;
  StmtList body;
  StmtList otherwise;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  bool recursive = false;
  Slot slot;  // kMacro: where its name is stored

  // Frames, filled by the scope analysis.
  FrameLayout frame;
  FrameLayout test_frame;
  FrameLayout else_frame;
  // Slots in `frame` of the special variables, -1 where the body does not use them.
  int loop_index = -1;
  int caller_index = -1;
  int kwargs_index = -1;
  int varargs_index = -1;
  bool explicit_caller = false;  // `caller` is one of the parameters
};

struct Program {
  std::string source;
  StmtList body;
  FrameLayout root;
  std::map<std::string_view, uint32_t> stored_root_names;  // read by blocks
};

// Deepest expression and deepest nesting of statements. They bound the recursion of every walk over
// the tree; the largest published templates stay below 60 and 20.
inline constexpr int kMaxExprHeight = 300;
inline constexpr int kMaxStmtDepth = 100;

}  // namespace pelton::jinja
