#include "text/template/template.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "text/template/chat.h"
#include "text/template/value_json.h"

namespace pelton::jinja {
namespace {

std::string Render(const std::string& source, const std::string& variables = "{}") {
  const Result<Template> parsed = Template::Parse(source);
  if (!parsed.ok()) return "ERROR " + parsed.status().message();
  RenderOptions options;
  options.now = ParseCivilTime("2024-02-29T07:08:09").value();
  const Result<std::string> text = parsed->Render(ValueFromJson(variables).value(), options);
  return text.ok() ? *text : "ERROR " + text.status().message();
}

TemplateError ErrorOf(const std::string& source, const std::string& variables = "{}") {
  TemplateError error;
  const Result<Template> parsed = Template::Parse(source, {}, &error);
  if (parsed.ok()) {
    EXPECT_FALSE(parsed->Render(ValueFromJson(variables).value(), {}, &error).ok()) << source;
  }
  return error;
}

struct Case {
  const char* source;
  const char* expected;
};

void ExpectAll(const std::vector<Case>& cases, const std::string& variables = "{}") {
  for (const Case& c : cases) EXPECT_EQ(Render(c.source, variables), c.expected) << c.source;
}

TEST(TemplateTest, WhiteSpaceAroundTags) {
  ExpectAll({
      {"a\n  {% if true %}\n  b\n  {% endif %}\nc", "a\n  b\nc"},
      {"a {{- 1 -}} b", "a1b"},
      {"a\n  {{ 1 }}\n", "a\n  1"},
      {"  {%+ if true +%}\n x{% endif %}", "  \n x"},
      {"x{# c #}\ny", "xy"},
      {"{% raw %} {{ x }} {% endraw %}", " {{ x }} "},
      {"a\r\nb\rc\n\n", "a\nb\nc\n"},
  });
}

TEST(TemplateTest, NumbersPrintLikePython) {
  ExpectAll({
      {"{{ 7 // -2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ -1.5 % 1 }}", "-4 2 3.0 0.5"},
      {"{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 2.0 }}",
       "1e+16 1000000000000000.0 0.0001 1e-05 2.0"},
      {"{{ 9007199254740993 + 1 }} {{ 2 ** 100 }}",
       "9007199254740994 1267650600228229401496703205376"},
      {"{{ 0.5|round }} {{ 1.5|round }} {{ 2.675|round(2) }} {{ 15|round(-1) }}",
       "0.0 2.0 2.67 20"},
      {"{{ true + 1 }} {{ 1 == true }} {{ {1: 'a', 1.0: 'b'} }}", "2 True {1: 'b'}"},
      {"{{ '%05.1f|%-4d|%+d|%x' % (3.14159, 7, 7, 255) }}", "003.1|7   |+7|ff"},
      {"{{ '{:>6}|{:^7.2f}|{:,}|{:#x}'.format('ab', 2.5, 1234567, 255) }}",
       "    ab| 2.50  |1,234,567|0xff"},
  });
}

TEST(TemplateTest, ValuesPrintLikePython) {
  ExpectAll({
      {R"({{ ['a', "it's", 'q"\'', none, true, 1.0, (1,), {'k': []}] }})",
       R"(['a', "it's", 'q"\'', None, True, 1.0, (1,), {'k': []}])"},
      {R"({{ ['\n\t\\\x01é\u200b😀'] }})", R"(['\n\t\\\x01é\u200b😀'])"},
      {"{{ {'a': 1}.items() }} {{ range(3) }}", "dict_items([('a', 1)]) range(0, 3)"},
      {"{{ [1, {'b': none}]|tojson }}", R"([1, {"b": null}])"},
      {R"({{ {'b': '<é"\n>', 'a': [1.5, true]}|tojson(indent=1) }})",
       "{\n \"b\": \"<é\\\"\\n>\",\n \"a\": [\n  1.5,\n  true\n ]\n}"},
  });
}

TEST(TemplateTest, TextCountsCodePoints) {
  ExpectAll({
      {"{{ 'naïve😀'|length }} {{ 'naïve😀'[2] }} {{ 'naïve😀'[::-1] }} {{ 'aé'.find('é') }}",
       "6 ï 😀evïan 1"},
      {"{{ 'straße ΑΣ ǆ'.upper() }} {{ 'ΑΣ ΑΣΑ'.lower() }} {{ 'ǆa ßb'.title() }}",
       "STRASSE ΑΣ Ǆ ας ασα ǅa Ssb"},
      {"{{ 'a  b c'.split() }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a\\r\\nb\\n'.splitlines() }}",
       "['a', 'b', 'c'] ['a,b', 'c'] ['a', 'b']"},
      {"{{ ' x '.strip() }}|{{ 'éxé'.strip('é') }}|{{ '\\u3000x'.lstrip() }}", "x|x|x"},
      {"{{ 'x' in 'axb' }} {{ '' in 'a' }} {{ 'ab'.replace('', '-') }}", "True True -a-b-"},
  });
}

TEST(TemplateTest, UndefinedIsNotNone) {
  ExpectAll(
      {
          {"[{{ a }}] {{ a is defined }} {{ a|default('d') }} {{ none|default('d') }}",
           "[] False d None"},
          {"{{ d.x is defined }} {{ d.x or 'e' }} {{ d['x']|default(1) }}", "False e 1"},
          {"{{ a == b }} {{ a == none }} {{ a ~ 'x' }} {{ a|length }}", "True False x 0"},
          {"{% for x in a %}{% else %}none{% endfor %}", "none"},
      },
      R"({"d": {}})");
  EXPECT_EQ(ErrorOf("{{ a.b }}").kind, TemplateErrorKind::kUndefined);
  EXPECT_EQ(ErrorOf("{{ a + 1 }}").kind, TemplateErrorKind::kUndefined);
  EXPECT_EQ(ErrorOf("{{ none.x.y }}").kind, TemplateErrorKind::kUndefined);
}

TEST(TemplateTest, VariablesHaveScopes) {
  ExpectAll(
      {
          {"{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}",
           "15151"},
          {"{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}"
           "{{ ns.n }}",
           "3"},
          {"{% if true %}{% set x = 1 %}{% endif %}{{ x }}", "1"},
          {"{% with x = 1 %}{% set y = x %}{{ y }}{% endwith %}{{ x }}{{ y }}", "1"},
          {"{% set x %}a{% set y = 2 %}{% endset %}{{ x }}{{ y }}", "a"},
          {"{% macro m() %}{{ x }}{% endmacro %}{% set x = 3 %}{{ m() }}", "3"},
          // A name that the template sets later hides the variable, as in the reference.
          {"{% macro m() %}{{ v }}{% endmacro %}{{ m() }}{% set v = 3 %}{{ m() }}", "3"},
          {"{{ v }}{% set v = 3 %}{{ v }}", "outer3"},
          {"{% for v in [1] %}{% endfor %}{{ v }}", "outer"},
          {"{% for i in [1, 2] %}{% if i == 2 %}{% set v = i %}{% endif %}{{ v }}{% endfor %}",
           "outer2"},
          {"{% block b %}{{ v }}{% endblock %}", "outer"},
          {"{% set v = 2 %}{% block b %}{{ v }}{% endblock %}", "2"},
      },
      R"({"v": "outer"})");
}

TEST(TemplateTest, Loops) {
  ExpectAll({
      {"{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }}{{ loop.last }}{% endfor %}",
       "12False34True"},
      {"{% for x in 'abc' %}{{ loop.index }}{{ loop.revindex0 }}{{ loop.previtem }}"
       "{{ loop.nextitem }}{% endfor %}",
       "12b21ac30b"},
      {"{% for x in [1, 2, 3] if x != 2 %}{{ loop.length }}{{ x }}{% endfor %}", "2123"},
      {"{% for x in range(9) %}{% if x == 1 %}{% continue %}{% endif %}{% if x > 3 %}{% break %}"
       "{% endif %}{{ x }}{% endfor %}",
       "023"},
      {"{% for x in [[1], [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}",
       "123"},
      // The condition is looked at value by value, after the turns before.
      {"{% set ns = namespace(stop=false) %}{% for x in [1, 2, 3] if not ns.stop %}{{ x }}"
       "{% set ns.stop = x == 2 %}{% endfor %}",
       "12"},
      {"{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "a1"},
  });
}

TEST(TemplateTest, MacrosAndCallBlocks) {
  ExpectAll({
      {"{% macro f(a, b='x') %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
       "{{ f(1) }}{{ f(1, 2, 3, k=4) }}",
       "1x(){}12(3,){'k': 4}"},
      {"{% macro f() %}<{{ caller('y') }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}",
       "<y>"},
      {"{% macro f(n) %}{{ n }}{{ f(n - 1) if n }}{% endmacro %}{{ f(3) }}", "3210"},
      {"{% generation %}a{{ 1 }}{% endgeneration %}", "a1"},
      {"{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB"},
      {"{% set x | replace('a', 'b') %}aa{% endset %}{{ x }}", "bb"},
  });
}

TEST(TemplateTest, Filters) {
  ExpectAll(
      {
          {"{{ m|selectattr('r', 'equalto', 'u')|map(attribute='c')|list }}", "['1', '3']"},
          {"{{ m|rejectattr('x')|list|length }} {{ m|map(attribute='c')|join('+') }}", "3 1+2+3"},
          {"{{ [3, 1, 2]|sort(reverse=true) }} {{ ['b', 'A']|sort }} {{ [1, 1.0, 2]|unique|list }}",
           "[3, 2, 1] ['A', 'b'] [1, 2]"},
          {"{{ {'b': 1, 'a': 2}|dictsort }} {{ m|groupby('r')|map(attribute=0)|list }}",
           "[('a', 2), ('b', 1)] ['a', 'u']"},
          {"{{ [1, 2, 3]|batch(2)|list }} {{ [1, 2, 3]|first }} {{ []|last }} {{ 'abc'|reverse }}",
           "[[1, 2], [3]] 1  cba"},
          {"{{ '<a>'|e }} {{ ('<a>'|e) + '<' }} {{ '<'|safe }}", "&lt;a&gt; &lt;a&gt;&lt; <"},
          {"{{ 'a b-c'|title }} {{ 'one two three'|truncate(9) }} {{ 'a\nb'|indent }}",
           "A B-C one two three a\n    b"},
          {"{% set g = [1, 2]|map('string') %}{{ g|list }}{{ g|list }}", "['1', '2'][]"},
      },
      R"({"m": [{"r": "u", "c": "1"}, {"r": "a", "c": "2"}, {"r": "u", "c": "3"}]})");
}

TEST(TemplateTest, DictMethodsHideKeys) {
  ExpectAll(
      {
          {"{{ d.items is callable }} {{ d['items'] }} {{ d.get('x', 5) }} {{ d.keys()|list }}",
           "True 1 5 ['items', 'k']"},
          {"{{ d.k }} {{ 'k' in d }} {{ d|items|list }}", "2 True [('items', 1), ('k', 2)]"},
      },
      R"({"d": {"items": 1, "k": 2}})");
}

TEST(TemplateTest, Time) {
  ExpectAll({
      {"{{ strftime_now('%Y-%m-%d %H:%M:%S') }}", "2024-02-29 07:08:09"},
      {"{{ strftime_now('%A %a %B %b %j %-d %y %I %p %%') }}",
       "Thursday Thu February Feb 060 29 24 07 AM %"},
      {"{{ strftime_now('%Q %999d %') }}", "%Q %999d %"},
  });
  EXPECT_FALSE(ParseCivilTime("2023-02-29").ok());
  EXPECT_FALSE(ParseCivilTime("2023-02-28T24:00").ok());
  EXPECT_FALSE(ParseCivilTime("2023-02-28T10:00:00Z").ok());
  EXPECT_EQ(FormatCivilTime(ParseCivilTime("2000-12-31 23:59").value(), "%c"),
            "Sun Dec 31 23:59:00 2000");
}

TEST(TemplateTest, ErrorsHaveKindMessageAndLine) {
  const TemplateError raised = ErrorOf("a\nb\n{{ raise_exception('no ' ~ 1) }}");
  EXPECT_EQ(raised.kind, TemplateErrorKind::kRaise);
  EXPECT_EQ(raised.message, "no 1");
  EXPECT_EQ(raised.line, 3);
  EXPECT_EQ(Render("x\n{{ 1 / 0 }}"), "ERROR chat template, line 2: division by zero");
  EXPECT_EQ(ErrorOf("{{ 'a' + 1 }}").kind, TemplateErrorKind::kRuntime);
  EXPECT_EQ(ErrorOf("{{ [].append(1) }}").kind, TemplateErrorKind::kSecurity);
  EXPECT_EQ(ErrorOf("{% include 'x' %}").kind, TemplateErrorKind::kRuntime);
  const TemplateError syntax = ErrorOf("\n\n{% if x %}");
  EXPECT_EQ(syntax.kind, TemplateErrorKind::kSyntax);
  EXPECT_EQ(syntax.line, 3);
  for (const char* source : {"{{",
                             "{{ 1",
                             "{{ }}",
                             "{% if %}",
                             "{% for x %}",
                             "{% endfor %}",
                             "{{ a b }}",
                             "{{ 'x }}",
                             "{% set 1 = 2 %}",
                             "{# x",
                             "{% raw %}",
                             "{{ x|nofilter }}",
                             "{{ x is notest }}",
                             "{% break %}",
                             "{{ 1 + }}",
                             "{{ a.'b' }}",
                             "{{ [1, 2 }}",
                             "{% macro f(a=1, b) %}{% endmacro %}",
                             "{% for loop in x %}{% endfor %}",
                             "{{ '\\u12' }}",
                             "{{ f(a=1, 2) }}",
                             "{{ ! }}"}) {
    EXPECT_EQ(ErrorOf(source).kind, TemplateErrorKind::kSyntax) << source;
  }
  // Inside an if, a filter that does not exist only matters when it is used.
  EXPECT_EQ(Render("{% if false %}{{ x|nofilter }}{% endif %}ok"), "ok");
  EXPECT_EQ(ErrorOf("{% if true %}{{ x|nofilter }}{% endif %}").kind, TemplateErrorKind::kRuntime);
}

TEST(TemplateTest, MentionsFindsReadVariables) {
  const Result<Template> parsed = Template::Parse(
      "{% macro m(x) %}{{ tools if x }}{% endmacro %}{% for a in messages %}{{ a.thinking }}"
      "{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->Mentions("tools"));
  EXPECT_TRUE(parsed->Mentions("messages"));
  EXPECT_FALSE(parsed->Mentions("thinking"));
  EXPECT_FALSE(parsed->Mentions("x"));
}

TEST(TemplateTest, OneTemplateRendersInManyThreads) {
  const Template shared =
      Template::Parse("{% for i in range(50) %}{{ 'é'|upper ~ i ~ v }}{% endfor %}").value();
  const Value variables = ValueFromJson(R"({"v": "w"})").value();
  const std::string expected = shared.Render(variables).value();
  std::vector<std::thread> threads;
  std::vector<std::string> texts(4);
  threads.reserve(texts.size());
  for (std::string& text : texts) {
    threads.emplace_back([&] { text = shared.Render(variables).value(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
}

TEST(ValueJsonTest, KeepsOrderAndNumbers) {
  const std::string json =
      R"({"b": 18446744073709551615, "a": -1, "c": [1.0, 1e3, true, null], "b": "last", "n":)"
      R"( 123456789012345678901234567890})";
  EXPECT_EQ(Render("{{ v|tojson }}", "{\"v\": " + json + "}"),
            R"({"b": "last", "a": -1, "c": [1.0, 1000.0, true, null], )"
            R"("n": 123456789012345678901234567890})");
  for (const char* bad : {"", "{", "[1,]", "nul", "{\"a\":1,}", "\"\\ud800\"", "[1] x", "\x80"}) {
    EXPECT_FALSE(ValueFromJson(bad).ok()) << bad;
  }
  std::string large = "{";
  for (int i = 0; i < 1000; ++i) {
    large += (i == 0 ? "\"k" : ",\"k") + std::to_string(i % 700) + "\":" + std::to_string(i);
  }
  EXPECT_EQ(Render("{{ v|length }} {{ v.k3 }} {{ v['k650'] }} {{ v.k700 is defined }}",
                   "{\"v\": " + large + "}}"),
            "700 703 650 False");
}

TEST(ValueTest, TextThatIsNotUtf8IsRepaired) {
  EXPECT_EQ(Value::String("a\xFF\xE2\x82z\xED\xA0\x80").text(),
            "a\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(ChatTest, RendersAConversation) {
  const Template chat = Template::Parse(
                            "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
                            "{% endfor %}{% if tools is none %}-{% endif %}"
                            "{% if add_generation_prompt %}[assistant]{% endif %}{{ extra }}")
                            .value();
  ChatInputs inputs;
  inputs.messages = ValueFromJson(R"([{"role": "user", "content": "hi"}])").value();
  inputs.bos_token = "<s>";
  EXPECT_EQ(RenderChat(chat, inputs).value(), "<s>[user]hi-[assistant]");
  inputs.kwargs = ValueFromJson(R"({"extra": "!", "add_generation_prompt": false})").value();
  EXPECT_EQ(RenderChat(chat, inputs).value(), "<s>[user]hi-!");
  inputs.kwargs = ValueFromJson(R"({"messages": []})").value();
  EXPECT_FALSE(RenderChat(chat, inputs).ok());
  inputs.kwargs = Value();
  inputs.messages = Value();
  EXPECT_FALSE(RenderChat(chat, inputs).ok());
}

}  // namespace
}  // namespace pelton::jinja
