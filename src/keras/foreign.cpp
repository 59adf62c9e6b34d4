// SPDX-License-Identifier: Apache-2.0
// Recognises files that are mistaken for Keras models, and says what to do.
#include "keras/foreign.hpp"

#include <sys/stat.h>

#include <array>
#include <utility>

#include "keras/arrays.hpp"

namespace lamella::keras {
namespace {

constexpr const char* kWeightsOnly = "holds weights only: load a model and give it this file";
constexpr const char* kSaveAsKeras = "load it with Keras and save it with model.save(\"model.keras\")";

bool contains(std::string_view text, std::string_view what) { return text.find(what) != std::string_view::npos; }

bool is_pickle(std::string_view head) { return head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5; }

}  // namespace

std::string foreign_file(Bytes head, std::uint64_t size) {
  const std::string_view text = as_text(head);
  if (size == 0) return "is empty";
  if (text.starts_with("version https://git-lfs.github.com/spec/"))
    return "is a Git LFS pointer, not the file itself; get it with git lfs pull";
  if (text.substr(0, text.size() > 8 ? 8 : 0).ends_with("TFL3"))
    return "is a TensorFlow Lite model; lamella reads the Keras model it was made from";
  if (text.starts_with("\x93NUMPY")) return "is an npy array, not a model";
  if (looks_like_npz(head) || looks_like_safetensors(head, size)) return kWeightsOnly;
  if (text.size() > 9 && text[7] == '\0' && text.substr(8).starts_with("{\""))
    return "is a .safetensors file whose end is missing";
  if (is_pickle(text))
    return core::format("is a Python pickle, which only Python can read and which may run code; {}", kSaveAsKeras);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') {
    if (contains(text, "\"modelTopology\"")) return core::format("is a TensorFlow.js model; {}", kSaveAsKeras);
    if (contains(text, "\"weight_map\"")) return "lists weights only: load a model and give it this file";
    return "holds the architecture alone, without weights: give the weights too";
  }
  if (first != std::string_view::npos && text[first] == '<')
    return "is a web page or XML, not a model; was it downloaded completely?";
  // Both are protocol buffers that begin with a version, 3 or more for ONNX, and a field of bytes.
  if (text.size() > 4 && text[0] == '\x08' && text[2] == '\x12') {
    if (text[1] >= 3 && text[1] < 32) return core::format("is an ONNX model; {}", kSaveAsKeras);
    if (text[1] == 1) return core::format("is a part of a TensorFlow SavedModel; {}", kSaveAsKeras);
  }
  return core::format("is neither a .keras archive nor an HDF5 file ({} bytes)", size);
}

std::string foreign_folder(const std::string& path) {
  constexpr std::array<std::pair<const char*, const char*>, 6> kMarks{{
      {"saved_model.pb", "a TensorFlow SavedModel"},
      {"keras_metadata.pb", "a TensorFlow SavedModel"},
      {"model.json", "a TensorFlow.js model"},
      {"_CHECKPOINT_METADATA", "an Orbax checkpoint"},
      {"manifest.ocdbt", "an Orbax checkpoint"},
      {"checkpoint", "a TensorFlow checkpoint"},
  }};
  for (const auto& [name, what] : kMarks) {
    struct stat status {};
    if (::stat((path + "/" + name).c_str(), &status) == 0) return core::format("is {}; {}", what, kSaveAsKeras);
  }
  return {};
}

}  // namespace lamella::keras
