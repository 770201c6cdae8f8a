#include "proto/json_printer.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <string>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "proto/proto_file.h"
#include "tests/support/process.h"

namespace feedvault {
namespace {

namespace pb = google::protobuf;
using Json = nlohmann::json;
using pb::FieldDescriptor;

constexpr const char* kEveryKind = R"(
  syntax = "proto2";
  enum color { NONE = 0; RED = 1; BLUE = -5; }
  message m {
    optional int32 a_int32 = 1;
    optional sint64 aSint64 = 2;
    optional uint32 a_uint32 = 3;
    optional fixed64 a_fixed64 = 4;
    optional double a_double = 5;
    optional float a_float = 6;
    optional bool a_bool = 7;
    optional color a_color = 8;
    optional string a_string = 9;
    optional bytes a_bytes = 10;
    optional m a_message = 11;
    oneof choice { string left = 12; int64 right = 13; }
    repeated int32 some_int32 = 21;
    repeated sfixed64 some_int64 = 22 [packed = true];
    repeated uint32 some_uint32 = 23;
    repeated uint64 some_uint64 = 24;
    repeated double some_double = 25;
    repeated float some_float = 26;
    repeated bool some_bool = 27;
    repeated color some_color = 28;
    repeated string some_string = 29;
    repeated bytes some_bytes = 30;
    repeated m some_message = 31;
    map<string, int64> by_name = 41;
    map<int32, m> by_number = 42;
    map<bool, bytes> by_bool = 43;
    map<uint64, color> by_id = 44;
    optional string renamed = 50 [json_name = "other\"name"];
    optional string last_by_number = 99;
  })";

/// Fills a message with values that are likely to be printed wrong.
class RandomMessages {
 public:
  explicit RandomMessages(unsigned seed) : random_(seed) {}

  void fill(pb::Message& message, int depth) {
    const pb::Descriptor& type = *message.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      const bool entry_field = type.options().map_entry();
      const bool nested = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      if (!entry_field && (random_() % 3 != 0 || (nested && depth == 0))) {
        continue;
      }
      const auto count = !field->is_repeated() ? 1U : field->is_map() ? 1U : random_() % 4;
      for (std::uint64_t k = 0; k < count; ++k) {
        set(message, field, depth);
      }
    }
  }

 private:
  std::int64_t integer() {
    const std::int64_t values[] = {0,
                                   1,
                                   -1,
                                   std::numeric_limits<std::int64_t>::max(),
                                   std::numeric_limits<std::int64_t>::min(),
                                   static_cast<std::int64_t>(random_())};
    return values[random_() % std::size(values)];
  }
  double real() {
    const double values[] = {0,
                             -0.0,
                             0.1,
                             412.25,
                             1e10,
                             1e-7,
                             std::numeric_limits<float>::max(),
                             std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity(),
                             std::nan(""),
                             static_cast<double>(random_() % 10'000'000) / 997};
    return values[random_() % std::size(values)];
  }
  std::string text() {
    const char* values[] = {"",
                            "plain",
                            "\"quoted\\ \n\r\t\x01\x1f\x7f",
                            "Gr\xC3\xBC\xC3\x9F \xF0\x9F\x8F\x88",
                            "</script>"};
    return values[random_() % std::size(values)];
  }
  std::string bytes() {
    std::string value;
    for (auto i = random_() % 7; i > 0; --i) {
      value += static_cast<char>(random_());
    }
    return value;
  }

  // Sets a field, or adds to a repeated one.
  void set(pb::Message& message, const FieldDescriptor* f, int depth) {
    const pb::Reflection& r = *message.GetReflection();
    const bool many = f->is_repeated();
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto v = static_cast<std::int32_t>(integer());
        many ? r.AddInt32(&message, f, v) : r.SetInt32(&message, f, v);
        break;
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto v = static_cast<std::uint32_t>(integer());
        many ? r.AddUInt32(&message, f, v) : r.SetUInt32(&message, f, v);
        break;
      }
      case FieldDescriptor::CPPTYPE_INT64:
        many ? r.AddInt64(&message, f, integer()) : r.SetInt64(&message, f, integer());
        break;
      case FieldDescriptor::CPPTYPE_UINT64: {
        const auto v = static_cast<std::uint64_t>(integer());
        many ? r.AddUInt64(&message, f, v) : r.SetUInt64(&message, f, v);
        break;
      }
      case FieldDescriptor::CPPTYPE_DOUBLE:
        many ? r.AddDouble(&message, f, real()) : r.SetDouble(&message, f, real());
        break;
      case FieldDescriptor::CPPTYPE_FLOAT: {
        const auto v = static_cast<float>(real());
        many ? r.AddFloat(&message, f, v) : r.SetFloat(&message, f, v);
        break;
      }
      case FieldDescriptor::CPPTYPE_BOOL: {
        const bool v = random_() % 2 == 0;
        many ? r.AddBool(&message, f, v) : r.SetBool(&message, f, v);
        break;
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto* v = f->enum_type()->value(static_cast<int>(random_() % 3));
        many ? r.AddEnum(&message, f, v) : r.SetEnum(&message, f, v);
        break;
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string v = f->type() == FieldDescriptor::TYPE_BYTES ? bytes() : text();
        many ? r.AddString(&message, f, v) : r.SetString(&message, f, v);
        break;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        fill(many ? *r.AddMessage(&message, f) : *r.MutableMessage(&message, f),
             depth > 0 ? depth - 1 : 0);
        break;
    }
  }

  std::mt19937_64 random_;
};

// Equal, numbers as floats: protobuf writes nine digits of a float, we as many as it takes.
bool same(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) {
    return a == b || static_cast<float>(a.get<double>()) == static_cast<float>(b.get<double>());
  }
  if (a.type() != b.type() || a.size() != b.size() || !a.is_structured()) {
    return a == b;
  }
  auto in_b = b.begin();
  for (auto in_a = a.begin(); in_a != a.end(); ++in_a, ++in_b) {
    if ((a.is_object() && in_a.key() != in_b.key()) || !same(*in_a, *in_b)) {
      return false;
    }
  }
  return true;
}

class JsonPrinterTest : public ::testing::Test {
 protected:
  JsonPrinterTest() {
    std::ofstream(folder_.file("m.proto")) << kEveryKind;
    auto file = ProtoFile::read(folder_.file("m.proto"));
    EXPECT_TRUE(file.has_value()) << file.status().to_string();
    file_ = std::move(*file);
    type_ = *file_->find_message("m");
    factory_ = std::make_unique<pb::DynamicMessageFactory>(&file_->pool());
  }

  testing::TempDir folder_;
  std::unique_ptr<ProtoFile> file_;
  const pb::Descriptor* type_ = nullptr;
  std::unique_ptr<pb::DynamicMessageFactory> factory_;
};

TEST_F(JsonPrinterTest, AgreesWithProtobuf) {
  const JsonPrinter printer(*type_);
  ASSERT_TRUE(printer.can_print());
  RandomMessages random(17);
  for (int round = 0; round < 300; ++round) {
    const std::unique_ptr<pb::Message> message(factory_->GetPrototype(type_)->New());
    random.fill(*message, 2);
    std::string ours;
    printer.print(*message, ours);
    std::string theirs;
    ASSERT_TRUE(pb::util::MessageToJsonString(*message, &theirs).ok());
    ASSERT_TRUE(same(Json::parse(ours), Json::parse(theirs))) << ours << "\n" << theirs;
  }
}

TEST_F(JsonPrinterTest, RealNumbersReadBackExactly) {
  const JsonPrinter printer(*type_);
  const auto* as_float = type_->FindFieldByName("a_float");
  const auto* as_double = type_->FindFieldByName("a_double");
  std::mt19937_64 random(23);
  for (int round = 0; round < 5'000; ++round) {
    const std::unique_ptr<pb::Message> message(factory_->GetPrototype(type_)->New());
    const auto f = static_cast<float>(random() % 100'000'000) / 100.0F;
    const double d =
        std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 200) - 100);
    message->GetReflection()->SetFloat(message.get(), as_float, f);
    message->GetReflection()->SetDouble(message.get(), as_double, d);
    std::string text;
    printer.print(*message, text);
    const Json json = Json::parse(text);
    ASSERT_EQ(static_cast<float>(json["aFloat"].get<double>()), f) << text;
    ASSERT_EQ(json["aDouble"].get<double>(), d) << text;
  }
}

TEST_F(JsonPrinterTest, PrintsFieldsInTheOrderOfTheirNumbers) {
  const std::unique_ptr<pb::Message> message(factory_->GetPrototype(type_)->New());
  const pb::Reflection& reflection = *message->GetReflection();
  reflection.SetString(message.get(), type_->FindFieldByName("renamed"), "x");
  reflection.SetInt32(message.get(), type_->FindFieldByName("a_int32"), -3);
  std::string text = "[";
  JsonPrinter(*type_).print(*message, text);
  EXPECT_EQ(text, R"([{"aInt32":-3,"other\"name":"x"})");
}

}  // namespace
}  // namespace feedvault
