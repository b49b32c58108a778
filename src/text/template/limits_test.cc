#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "text/template/template.h"
#include "text/template/value_json.h"

// Templates and inputs that were made to hurt. Each must fail quickly with a clear error, or work.
namespace pelton::jinja {
namespace {

struct Outcome {
  bool ok = false;
  std::string text;
  TemplateError error;
  double seconds = 0;
};

Outcome Try(const std::string& source, const std::string& variables = "{}",
            const RenderOptions& options = {}) {
  Outcome outcome;
  const auto start = std::chrono::steady_clock::now();
  const Result<Template> parsed = Template::Parse(source, options.limits, &outcome.error);
  if (parsed.ok()) {
    const Result<Value> value = ValueFromJson(variables);
    EXPECT_TRUE(value.ok()) << value.status().message();
    const Result<std::string> text = parsed->Render(*value, options, &outcome.error);
    outcome.ok = text.ok();
    if (text.ok()) outcome.text = *text;
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

// Generous for sanitizers and loaded machines: a release build takes well under a second.
constexpr double kMaxSeconds = 20;

// Less work than a server allows, for the sanitizers' sake.
RenderOptions SmallLimits() {
  RenderOptions options;
  options.limits.max_steps = 200'000;
  options.limits.max_value_bytes = 8 << 20;
  return options;
}

void ExpectLimit(const std::string& source, const RenderOptions& options = SmallLimits()) {
  SCOPED_TRACE(source.substr(0, 200));
  const Outcome outcome = Try(source, "{}", options);
  EXPECT_FALSE(outcome.ok);
  EXPECT_EQ(outcome.error.kind, TemplateErrorKind::kLimit) << outcome.error.message;
  EXPECT_LT(outcome.seconds, kMaxSeconds);
}

std::string Repeated(const std::string& unit, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += unit;
  return out;
}

TEST(LimitsTest, NestedLoopsStopAtTheStepLimit) {
  // With the limits of a server.
  ExpectLimit(Repeated("{% for i in range(100000) %}", 5) + "x" + Repeated("{% endfor %}", 5), {});
  ExpectLimit("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}");
  ExpectLimit("{% for i in range(99999) %}{% set x = range(99999)|list|length %}{% endfor %}");
  ExpectLimit("{% for i in range(99999) %}{{ range(99999)|sum }}{% endfor %}");
}

TEST(LimitsTest, SixtyThousandNestedGroupsAreRefused) {
  constexpr size_t kCount = 60'000;
  for (const char* open : {"(", "[", "{1:", "not ", "-", "a[", "a(", "a if b else "}) {
    const Outcome outcome = Try("{{ " + Repeated(open, kCount) + "1 }}");
    EXPECT_FALSE(outcome.ok) << open;
    EXPECT_EQ(outcome.error.kind, TemplateErrorKind::kSyntax) << open;
    EXPECT_LT(outcome.seconds, kMaxSeconds) << open;
  }
  for (const char* tag : {"{% if a %}", "{% for a in b %}", "{% macro f() %}", "{% set a %}"}) {
    const Outcome outcome = Try(Repeated(tag, kCount));
    EXPECT_FALSE(outcome.ok) << tag;
    EXPECT_EQ(outcome.error.kind, TemplateErrorKind::kSyntax) << tag;
  }
}

TEST(LimitsTest, LongChainsAreRefusedOrWork) {
  for (const char* link : {"+a", ".a", "|upper", " and a", " is string", "()", "[0]", "**a"}) {
    const Outcome outcome = Try("{{ a" + Repeated(link, 60'000) + " }}");
    EXPECT_FALSE(outcome.ok) << link;
    EXPECT_EQ(outcome.error.kind, TemplateErrorKind::kSyntax) << link;
  }
  const Outcome concat = Try("{{ 'a'" + Repeated("~'a'", 60'000) + " }}");
  EXPECT_TRUE(concat.ok) << concat.error.message;
  EXPECT_EQ(concat.text.size(), 60'001U);
  const Outcome elif = Try("{% if a %}" + Repeated("{% elif a %}", 10'000) + "{% endif %}x");
  EXPECT_EQ(elif.text, "x") << elif.error.message;
}

TEST(LimitsTest, MacroRecursionIsBounded) {
  ExpectLimit("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}");
  ExpectLimit(
      "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}");
  ExpectLimit("{% macro f() %}{{ caller }}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}");
  ExpectLimit(
      "{% macro f() %}{% for x in [1] %}{% if true %}{{ f() }}{% endif %}{% endfor %}"
      "{% endmacro %}{{ f() }}");
  ExpectLimit("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
  // Each call calls twice, so the depth limit alone would allow 2^64 calls.
  ExpectLimit(
      "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
      "{{ f(60) }}");
  const Outcome fine =
      Try("{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}");
  EXPECT_TRUE(fine.ok) << fine.error.message;
}

TEST(LimitsTest, DeepExpressionsInsideRecursionFitTheStack) {
  const std::string deep = Repeated("(", 60) + "f()" + Repeated("+'')", 60);
  ExpectLimit("{% macro f() %}" + Repeated("{% if true %}", 90) + "{{ " + deep + " }}" +
              Repeated("{% endif %}", 90) + "{% endmacro %}{{ f() }}");
}

TEST(LimitsTest, HugeRangesAreRefused) {
  for (const char* source :
       {"{{ range(1000000) }}", "{{ range(9223372036854775807)|list }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}", "{{ range(10 ** 30) }}"}) {
    const Outcome outcome = Try(source);
    EXPECT_FALSE(outcome.ok) << source;
    EXPECT_EQ(outcome.error.kind, TemplateErrorKind::kRuntime) << source;
  }
  EXPECT_EQ(Try("{{ range(0, 9223372036854775807, 9223372036854775806)|list }}").text,
            "[0, 9223372036854775806]");
  EXPECT_EQ(Try("{{ range(0, 9223372036854775807, 9223372036854775806)[9:]|list }}").text, "[]");
}

TEST(LimitsTest, HugeValuesAreRefusedBeforeTheyAreMade) {
  for (const char* source : {
           "{{ 'x' * 1000000000000 }}",
           "{{ 10 ** 30 * 'x' }}",
           "{{ [0] * 99999999999 }}",
           "{{ 'x'.ljust(99999999999) }}",
           "{{ 'x'|center(99999999999) }}",
           "{{ 'x'.zfill(99999999999) }}",
           "{{ '%99999999999d' % 1 }}",
           "{{ '%.999999999f' % 1 }}",
           "{{ '{:>99999999999}'.format(1) }}",
           "{{ 'a\nb'|indent(99999999999) }}",
           "{{ [1]|tojson(indent=99999999999) }}",
           "{{ '\t'.expandtabs(99999999999) }}",
           "{{ [1]|batch(99999999999, 0)|list }}",
           "{% set s = 'x' * 1000000 %}{{ s.replace('', s) }}",
           "{% set s = 'x' * 1000000 %}{{ s|replace('x', s) }}",
           "{% set s = 'x' * 1000000 %}{{ [s] * 1000 }}",
           "{% set s = 'x' * 1000000 %}{{ ([s] * 1000)|join }}",
           "{% set s = 'x' * 1000000 %}{{ ([s] * 1000)|tojson }}",
           "{% set s = 'x' * 1000000 %}{{ s.join('x' * 1000) }}",
           "{% set s = 'x' * 1000000 %}{{ ('%s' * 1000) % ([s] * 1000) }}",
           "{% set s = 'ab ' * 1000000 %}{{ s.split()|length }}",
           "{% set s = '\u0390' * 10000000 %}{{ s.upper().upper() }}",
       }) {
    SCOPED_TRACE(source);
    const Outcome outcome = Try(source, "{}", SmallLimits());
    EXPECT_FALSE(outcome.ok);
    EXPECT_LT(outcome.seconds, kMaxSeconds);
  }
}

TEST(LimitsTest, DoublingIsBounded) {
  ExpectLimit(
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}"
      "{% endfor %}");
  ExpectLimit(
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
      "{% endfor %}");
  ExpectLimit(
      "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}"
      "{% endfor %}");
  ExpectLimit(
      "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}"
      "{% endfor %}{{ ns.s }}");
  ExpectLimit(
      "{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}"
      "{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}");
}

TEST(LimitsTest, OutputIsBounded) {
  const Outcome outcome =
      Try("{% set s = 'x' * 100000 %}{% for i in range(100) %}{{ s }}{% endfor %}");
  EXPECT_EQ(outcome.error.kind, TemplateErrorKind::kLimit);
  EXPECT_NE(outcome.error.message.find("4194304"), std::string::npos) << outcome.error.message;
}

TEST(LimitsTest, DeepValuesAreRefused) {
  ExpectLimit(
      "{% set ns = namespace(s=[]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}"
      "{% endfor %}");
  ExpectLimit(
      "{% set ns = namespace(s=[]) %}{% for i in range(9999) %}"
      "{% set ns.s = ns.s|map('string') %}{% endfor %}{{ ns.s|list }}");
  EXPECT_FALSE(ValueFromJson(Repeated("[", 100'000)).ok());
  EXPECT_FALSE(ValueFromJson(Repeated("{\"a\":", 100'000)).ok());
}

TEST(LimitsTest, NamespacesMayHoldEachOther) {
  const Outcome ring = Try(
      "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{% set a.a = [a] %}"
      "{% macro m() %}{% endmacro %}{% set a.m = m %}{{ a.b.a.b.a is defined }}");
  EXPECT_EQ(ring.text, "True") << ring.error.message;
  const Outcome list =
      Try("{% set ns = namespace(head=none) %}{% for i in range(50000) %}"
          "{% set ns.head = namespace(next=ns.head) %}{% endfor %}{{ ns.head.next is defined }}");
  EXPECT_EQ(list.text, "True") << list.error.message;
}

TEST(LimitsTest, LoopVariablesMayOutliveTheirLoop) {
  const std::string keep =
      "{% set ns = namespace() %}{% for x in [1, 2] %}{% set ns.l = loop %}"
      "{{ loop.changed(loop) }}{{ loop.changed([loop.cycle]) }}{% endfor %}";
  EXPECT_EQ(Try(keep + "{{ ns.l.index }}").text, "TrueTrueTrueTrue2");
  EXPECT_FALSE(Try(keep + "{{ ns.l([1]) }}").ok);
  EXPECT_FALSE(Try(keep + "{{ ns.l.changed(1) }}").ok);
  // The condition of a loop asks the loop itself.
  const Outcome busy =
      Try("{% set ns = namespace(l=none) %}{% for x in [1, 2, 3] if ns.l is none or ns.l.length %}"
          "{% set ns.l = loop %}{% endfor %}");
  EXPECT_EQ(busy.error.kind, TemplateErrorKind::kRuntime);
}

TEST(LimitsTest, MacrosMayOutliveTheirFrame) {
  EXPECT_EQ(Try("{% set ns = namespace() %}{% macro outer(a) %}{% macro inner() %}[{{ a }}]"
                "{% endmacro %}{% set ns.f = inner %}{{ inner() }}{% endmacro %}"
                "{{ outer(1) }}{{ outer(2) }}{{ ns.f() }}")
                .text,
            "[1][2][]");
  EXPECT_EQ(Try("{% set ns = namespace() %}{% macro keep() %}{% set ns.c = caller %}{% endmacro %}"
                "{% macro outer(a) %}{% call keep() %}({{ a }}){% endcall %}{% endmacro %}"
                "{{ outer(1) }}{{ ns.c() }}")
                .text,
            "()");
}

TEST(LimitsTest, AttributesOfTheImplementationAreOutOfReach) {
  for (const char* source : {
           "{{ ''.__class__.__mro__[1].__subclasses__() }}",
           "{{ ''['__class__']['__mro__'] }}",
           "{{ ''|attr('__class__')|attr('__base__') }}",
           "{{ [].__class__.__base__ }}",
           "{{ range.__globals__['os'] }}",
           "{{ (1).__class__() }}",
           "{{ {}.__init__.__globals__ }}",
           "{{ raise_exception.__code__.co_consts }}",
           "{{ '{0.__class__.__mro__}'.format('') }}",
           "{{ '{0[__class__].x}'.format([]) }}",
           "{{ namespace(__init__=1) }}",
           "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
           "{{ messages.append(1) }}",
           "{{ messages['append'](1) }}",
           "{{ messages|attr('clear')() }}",
           "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
           "{{ lipsum.__globals__ }}{{ lipsum.__globals__['os'] }}",
       }) {
    SCOPED_TRACE(source);
    const Outcome outcome = Try(source, R"({"messages": [{"role": "user"}]})");
    EXPECT_FALSE(outcome.ok) << outcome.text;
    const bool expected_kind = outcome.error.kind == TemplateErrorKind::kSecurity ||
                               outcome.error.kind == TemplateErrorKind::kUndefined;
    EXPECT_TRUE(expected_kind) << outcome.error.message;
  }
  for (const char* source :
       {"{{ self }}", "{{ request }}", "{{ config }}", "{{ self._TemplateReference__context }}",
        "{{ os }}", "{{ ''.__class__ }}", "{{ __import__ }}"}) {
    const Outcome outcome = Try(source);
    EXPECT_EQ(outcome.text, "") << source;
  }
}

TEST(LimitsTest, SearchingIsLinear) {
  const std::string variables = "{\"s\": \"" + std::string(1'000'000, 'a') + "\", \"t\": \"" +
                                std::string(300'000, 'a') + "b\"}";
  for (const char* source :
       {"{{ s.find(t) }}", "{{ s.rfind(t) }}", "{{ t in s }}", "{{ s.count(t) }}",
        "{{ s.split(t)|length }}", "{{ s.rsplit(t)|length }}", "{{ s.replace(t, '')|length }}",
        "{{ s|wordwrap(10)|length }}", "{{ s.strip('a') }}", "{{ ('<' ~ s)|striptags|length }}"}) {
    const Outcome outcome = Try(source, variables);
    EXPECT_TRUE(outcome.ok) << source << ": " << outcome.error.message;
    EXPECT_LT(outcome.seconds, kMaxSeconds) << source;
  }
}

TEST(LimitsTest, LargeConversationsFit) {
  std::string messages;
  for (int i = 0; i < 2000; ++i) {
    messages += i == 0 ? "" : ",";
    messages += R"({"role": "user", "content": ")" + std::string(500, 'x') + R"("})";
  }
  const Outcome outcome =
      Try("{% for m in messages %}{% if m.role == 'user' %}{{ '<' + m.role + '>' + m['content'] | "
          "trim }}"
          "{% else %}{{ raise_exception('role') }}{% endif %}{% endfor %}",
          "{\"messages\": [" + messages + "]}");
  EXPECT_TRUE(outcome.ok) << outcome.error.message;
  EXPECT_EQ(outcome.text.size(), 2000U * 506);
}

TEST(LimitsTest, SourcesAreBounded) {
  EXPECT_EQ(Try(std::string((1 << 20) + 1, 'x')).error.kind, TemplateErrorKind::kLimit);
  EXPECT_EQ(Try("\xC3\x28").error.kind, TemplateErrorKind::kSyntax);
  std::string names = "{% if a %}";
  for (int i = 0; i < 20'000; ++i) names += "{% set v" + std::to_string(i) + " = 1 %}";
  const Outcome outcome = Try(Repeated("{% if a %}", 90) + names + Repeated("{% endif %}", 91));
  EXPECT_TRUE(outcome.ok) << outcome.error.message;
  EXPECT_LT(outcome.seconds, kMaxSeconds);
}

}  // namespace
}  // namespace pelton::jinja
