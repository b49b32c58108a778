#include "text/template/scopes.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "text/template/symbols.h"

namespace pelton::jinja {
namespace {

// Calls `visit` for every expression below `expr` and itself, parents first.
void ForEachExpr(const Expr* expr, const std::function<void(const Expr&)>& visit) {
  if (expr == nullptr) return;
  visit(*expr);
  for (const ExprPtr& item : expr->items) ForEachExpr(item.get(), visit);
  if (expr->tail == nullptr) return;
  for (const auto& [name, value] : expr->tail->named) ForEachExpr(value.get(), visit);
  ForEachExpr(expr->tail->star.get(), visit);
  ForEachExpr(expr->tail->double_star.get(), visit);
}

// Calls `visit` for every expression of the statements and their bodies, in the order of the text.
// Stops at blocks, which see nothing around them.
void ForEachExpr(const StmtList& body, const std::function<void(const Expr&)>& visit) {
  for (const StmtPtr& stmt : body) {
    if (stmt->kind == StmtKind::kBlock) continue;
    ForEachExpr(stmt->target.get(), visit);
    ForEachExpr(stmt->value.get(), visit);
    ForEachExpr(stmt->test.get(), visit);
    for (const Stmt::Parameter& parameter : stmt->parameters) {
      ForEachExpr(parameter.target.get(), visit);
      ForEachExpr(parameter.value.get(), visit);
    }
    for (const Stmt::Branch& branch : stmt->branches) {
      ForEachExpr(branch.test.get(), visit);
      ForEachExpr(branch.body, visit);
    }
    ForEachExpr(stmt->body, visit);
    ForEachExpr(stmt->otherwise, visit);
  }
}

// Whether the body reads `name` before anything in it sets the name.
bool ReadsUndeclared(const StmtList& body, std::string_view name) {
  bool reads = false;
  bool declared = false;
  ForEachExpr(body, [&](const Expr& expr) {
    if (expr.kind != ExprKind::kName || expr.name != name) return;
    if (expr.is_store) {
      declared = declared || !reads;
    } else if (!declared) {
      reads = true;
    }
  });
  return reads;
}

class Resolver {
 public:
  Resolver(Program& program, TemplateError& error) : program_(program), error_(error) {}

  Status Run() {
    Symbols root(program_.root, nullptr);
    Find(program_.body, root);
    RETURN_IF_ERROR(Bind(program_.body, root, false, false));
    for (uint32_t i = 0; i < program_.root.variables.size(); ++i) {
      const FrameLayout::Variable& variable = program_.root.variables[i];
      if (variable.stored) program_.stored_root_names.emplace(variable.name, i);
    }
    return OkStatus();
  }

 private:
  Status Fail(std::string message, int line) {
    error_ = {TemplateErrorKind::kSyntax, std::move(message), line};
    return InvalidArgument(error_.message);
  }

  // First walk: the names of one frame, without the frames inside it.
  void Find(const StmtList& body, Symbols& symbols) {
    for (const StmtPtr& stmt : body) Find(*stmt, symbols);
  }

  void Find(const Stmt& stmt, Symbols& symbols) {
    switch (stmt.kind) {
      case StmtKind::kIf:
        FindIf(stmt, symbols);
        break;
      case StmtKind::kMacro:
        symbols.Store(stmt.text);
        break;
      case StmtKind::kSet:
        FindReads(stmt.value.get(), symbols);
        FindTarget(*stmt.target, symbols);
        break;
      case StmtKind::kSetBlock:
        FindTarget(*stmt.target, symbols);
        break;
      case StmtKind::kWith:
        for (const Stmt::Parameter& parameter : stmt.parameters) {
          FindReads(parameter.value.get(), symbols);
        }
        break;
      case StmtKind::kOutput:
      case StmtKind::kFor:
      case StmtKind::kCallBlock:
      case StmtKind::kFilterBlock:
      case StmtKind::kUnavailable:
        FindReads(stmt.value.get(), symbols);
        break;
      case StmtKind::kText:
      case StmtKind::kScope:
      case StmtKind::kBlock:
      case StmtKind::kBreak:
      case StmtKind::kContinue:
        break;
    }
  }

  void FindIf(const Stmt& stmt, Symbols& symbols) {
    const auto find_branch = [&](const Stmt::Branch& branch) {
      return symbols.Branch([&] { Find(branch.body, symbols); });
    };
    FindReads(stmt.branches[0].test.get(), symbols);
    std::vector<Symbols::Changes> branches;
    branches.push_back(find_branch(stmt.branches[0]));
    branches.push_back(symbols.Branch([&] {
      for (size_t i = 1; i < stmt.branches.size(); ++i) {
        FindReads(stmt.branches[i].test.get(), symbols);
        symbols.Merge({find_branch(stmt.branches[i])});
      }
    }));
    branches.push_back(symbols.Branch([&] { Find(stmt.otherwise, symbols); }));
    symbols.Merge(branches);
  }

  void FindReads(const Expr* expr, Symbols& symbols) {
    ForEachExpr(expr, [&](const Expr& e) {
      if (e.kind == ExprKind::kName && !e.is_store) symbols.Read(e.name);
    });
  }

  void FindTarget(const Expr& target, Symbols& symbols) {
    ForEachExpr(&target, [&](const Expr& e) {
      if (e.kind == ExprKind::kName) symbols.Store(e.name);
      if (e.kind == ExprKind::kNamespaceTarget) symbols.Read(e.name);
    });
  }

  void DeclareTarget(const Expr& target, Symbols& symbols) {
    ForEachExpr(&target, [&](const Expr& e) {
      if (e.kind == ExprKind::kName) symbols.DeclareParameter(e.name);
    });
  }

  // Second walk: gives every name its slot. `soft`: an unknown filter only fails when it is used.
  Status Bind(StmtList& body, Symbols& symbols, bool soft, bool in_loop) {
    for (StmtPtr& stmt : body) RETURN_IF_ERROR(Bind(*stmt, symbols, soft, in_loop));
    return OkStatus();
  }

  Status Bind(Stmt& stmt, Symbols& symbols, bool soft, bool in_loop) {
    switch (stmt.kind) {
      case StmtKind::kText:
        return OkStatus();
      case StmtKind::kOutput:
      case StmtKind::kUnavailable:
        return BindExpr(stmt.value.get(), symbols, soft);
      case StmtKind::kSet:
        RETURN_IF_ERROR(CheckLoopVariable(*stmt.target));
        RETURN_IF_ERROR(BindExpr(stmt.value.get(), symbols, soft));
        return BindExpr(stmt.target.get(), symbols, soft);
      case StmtKind::kIf:
        for (Stmt::Branch& branch : stmt.branches) {
          RETURN_IF_ERROR(BindExpr(branch.test.get(), symbols, true));
          RETURN_IF_ERROR(Bind(branch.body, symbols, true, in_loop));
        }
        return Bind(stmt.otherwise, symbols, true, in_loop);
      case StmtKind::kFor:
        return BindFor(stmt, symbols, soft, in_loop);
      case StmtKind::kMacro:
        stmt.slot = SlotOf(stmt.text, symbols);
        return BindMacro(stmt, symbols);
      case StmtKind::kCallBlock:
        RETURN_IF_ERROR(BindExpr(stmt.value.get(), symbols, soft));
        return BindMacro(stmt, symbols);
      case StmtKind::kWith:
        return BindWith(stmt, symbols, soft, in_loop);
      case StmtKind::kSetBlock:
        RETURN_IF_ERROR(CheckLoopVariable(*stmt.target));
        RETURN_IF_ERROR(BindExpr(stmt.target.get(), symbols, soft));
        return BindInner(stmt, symbols, in_loop);
      case StmtKind::kFilterBlock:
      case StmtKind::kScope:
        return BindInner(stmt, symbols, in_loop);
      case StmtKind::kBlock: {
        Symbols inner(stmt.frame, nullptr);
        Find(stmt.body, inner);
        return Bind(stmt.body, inner, false, false);
      }
      case StmtKind::kBreak:
      case StmtKind::kContinue:
        if (in_loop) return OkStatus();
        return Fail(
            stmt.kind == StmtKind::kBreak ? "'break' outside a loop" : "'continue' outside a loop",
            stmt.line);
    }
    return OkStatus();
  }

  Status BindInner(Stmt& stmt, Symbols& symbols, bool in_loop) {
    Symbols inner(stmt.frame, &symbols);
    Find(stmt.body, inner);
    FindReads(stmt.value.get(), inner);
    RETURN_IF_ERROR(Bind(stmt.body, inner, false, in_loop));
    return BindExpr(stmt.value.get(), inner, false);
  }

  Status BindFor(Stmt& stmt, Symbols& symbols, bool soft, bool in_loop) {
    ++num_loops_;
    RETURN_IF_ERROR(CheckLoopVariable(*stmt.target));
    RETURN_IF_ERROR(BindExpr(stmt.value.get(), symbols, soft));
    Symbols body(stmt.frame, &symbols);
    stmt.loop_index = static_cast<int>(body.DeclareParameter("loop"));
    DeclareTarget(*stmt.target, body);
    Find(stmt.body, body);
    RETURN_IF_ERROR(BindExpr(stmt.target.get(), body, false));
    RETURN_IF_ERROR(Bind(stmt.body, body, false, true));
    if (stmt.test != nullptr) {
      Symbols test(stmt.test_frame, &symbols);
      test.SkipIndex();  // where the loop's frame has `loop`
      DeclareTarget(*stmt.target, test);
      FindReads(stmt.test.get(), test);
      RETURN_IF_ERROR(BindExpr(stmt.test.get(), test, false));
    }
    Symbols otherwise(stmt.else_frame, &symbols);
    Find(stmt.otherwise, otherwise);
    RETURN_IF_ERROR(Bind(stmt.otherwise, otherwise, false, in_loop && !stmt.recursive));
    --num_loops_;
    return OkStatus();
  }

  // Nothing in a loop may set the variable that describes the loop.
  Status CheckLoopVariable(const Expr& target) {
    if (num_loops_ == 0) return OkStatus();
    bool sets_loop = false;
    ForEachExpr(&target, [&](const Expr& e) {
      sets_loop = sets_loop || (e.kind == ExprKind::kName && e.name == "loop");
    });
    if (!sets_loop) return OkStatus();
    return Fail("cannot assign to the variable 'loop' inside a loop", target.line);
  }

  Status BindMacro(Stmt& stmt, Symbols& symbols) {
    Symbols inner(stmt.frame, &symbols);
    for (const Stmt::Parameter& parameter : stmt.parameters) {
      const std::string_view name = parameter.target->name;
      if (inner.Find(name) && inner.Find(name)->hops == 0) {
        return Fail("the parameter '" + std::string(name) + "' is there twice", stmt.line);
      }
      inner.DeclareParameter(name);
    }
    RETURN_IF_ERROR(DeclareSpecials(stmt, inner));
    for (const Stmt::Parameter& parameter : stmt.parameters) {
      FindReads(parameter.value.get(), inner);
    }
    Find(stmt.body, inner);
    for (const Stmt::Parameter& parameter : stmt.parameters) {
      RETURN_IF_ERROR(BindExpr(parameter.target.get(), inner, false));
      RETURN_IF_ERROR(BindExpr(parameter.value.get(), inner, false));
    }
    return Bind(stmt.body, inner, false, false);
  }

  // The variables that a macro has without naming them, where its body uses them.
  Status DeclareSpecials(Stmt& stmt, Symbols& inner) {
    const auto is_parameter = [&](std::string_view name) {
      return std::any_of(stmt.parameters.begin(), stmt.parameters.end(),
                         [&](const Stmt::Parameter& p) { return p.target->name == name; });
    };
    const auto declare = [&](std::string_view name, int& index) {
      if (ReadsUndeclared(stmt.body, name) && !is_parameter(name)) {
        index = static_cast<int>(inner.DeclareParameter(name));
      }
    };
    declare("caller", stmt.caller_index);
    declare("kwargs", stmt.kwargs_index);
    declare("varargs", stmt.varargs_index);
    stmt.explicit_caller = is_parameter("caller");
    if (stmt.explicit_caller && ReadsUndeclared(stmt.body, "caller")) {
      for (const Stmt::Parameter& parameter : stmt.parameters) {
        if (parameter.target->name == "caller" && parameter.value == nullptr) {
          return Fail("the parameter 'caller' needs a default", stmt.line);
        }
      }
    }
    return OkStatus();
  }

  Status BindWith(Stmt& stmt, Symbols& symbols, bool soft, bool in_loop) {
    Symbols inner(stmt.frame, &symbols);
    for (const Stmt::Parameter& parameter : stmt.parameters) {
      RETURN_IF_ERROR(BindExpr(parameter.value.get(), symbols, soft));
      DeclareTarget(*parameter.target, inner);
    }
    Find(stmt.body, inner);
    for (const Stmt::Parameter& parameter : stmt.parameters) {
      RETURN_IF_ERROR(BindExpr(parameter.target.get(), inner, false));
    }
    return Bind(stmt.body, inner, false, in_loop);
  }

  Slot SlotOf(std::string_view name, Symbols& symbols) {
    if (!symbols.Find(name)) symbols.Read(name);
    return *symbols.Find(name);
  }

  Status BindExpr(Expr* expr, Symbols& symbols, bool soft) {
    if (expr == nullptr) return OkStatus();
    switch (expr->kind) {
      case ExprKind::kName:
      case ExprKind::kNamespaceTarget:
        expr->slot = SlotOf(expr->name, symbols);
        return OkStatus();
      case ExprKind::kFilter:
        if (expr->filter == nullptr && !soft) {
          return Fail("there is no filter '" + std::string(expr->name) + "'", expr->line);
        }
        break;
      case ExprKind::kTest:
        if (expr->predicate == nullptr && !soft) {
          return Fail("there is no test '" + std::string(expr->name) + "'", expr->line);
        }
        break;
      case ExprKind::kConditional:
        soft = true;
        break;
      default:
        break;
    }
    for (const ExprPtr& item : expr->items) RETURN_IF_ERROR(BindExpr(item.get(), symbols, soft));
    if (expr->tail == nullptr) return OkStatus();
    for (const auto& [name, value] : expr->tail->named) {
      RETURN_IF_ERROR(BindExpr(value.get(), symbols, soft));
    }
    RETURN_IF_ERROR(BindExpr(expr->tail->star.get(), symbols, soft));
    return BindExpr(expr->tail->double_star.get(), symbols, soft);
  }

  Program& program_;
  TemplateError& error_;
  int num_loops_ = 0;  // around the statement at hand
};

}  // namespace

Status ResolveScopes(Program& program, TemplateError& error) {
  return Resolver(program, error).Run();
}

}  // namespace pelton::jinja
