#include "bind.hpp"
#include "quantize.hpp"

using namespace nb::literals;

namespace mullama::bind {

namespace {

nb::list tensors_of(const QuantizePlan & plan) {
    nb::list out;
    for (const TensorPlan & tensor : plan.tensors) {
        const auto * shape = tensor.from.shape.data();
        out.append(nb::make_tuple(tensor.from.name, std::vector<int64_t>(shape, shape + tensor.from.n_dims()),
                                  ggml_type_name(tensor.from.type), ggml_type_name(tensor.to), tensor.from.size,
                                  tensor.size));
    }
    return out;
}

} // namespace

void bind_quantize(nb::module_ & module) {
    nb::class_<QuantizeProgress>(module, "QuantizeProgress", "Watch or cancel quantizing from another thread.")
        .def(nb::init<>())
        .def_prop_ro("done", [](const QuantizeProgress & self) { return self.done.load(); }, "bytes of source")
        .def_prop_ro("total", [](const QuantizeProgress & self) { return self.total.load(); })
        .def("cancel", [](QuantizeProgress & self) { self.cancelled = true; });

    nb::class_<QuantizePlan>(module, "QuantizePlan")
        .def_static(
            "make",
            [](const std::string & source, const std::string & type, const QuantizeParams & params) {
                const nb::gil_scoped_release release;
                return plan_quantization(source, type, params);
            },
            "source"_a, "type"_a, "params"_a)
        .def("write",
             [](const QuantizePlan & self, const std::string & target, const QuantizeParams & params,
                QuantizeProgress & progress) {
                 const nb::gil_scoped_release release;
                 return quantize(self, target, params, progress);
             },
             "target"_a, "params"_a, "progress"_a)
        .def_ro("type", &QuantizePlan::type)
        .def_prop_ro("tensors", &tensors_of, "(name, shape, type, new type, bytes, new bytes), in file order")
        .def_ro("missing_imatrix", &QuantizePlan::missing_imatrix)
        .def_ro("requantized", &QuantizePlan::requantized)
        .def_ro("warnings", &QuantizePlan::warnings);

    nb::list types;
    for (const FileType & type : file_types()) {
        types.append(nb::make_tuple(type.name, type.bits_per_weight));
    }
    module.attr("FILE_TYPES") = nb::tuple(types);
    module.attr("TENSOR_TYPES") = nb::tuple(nb::cast(tensor_type_names()));
}

} // namespace mullama::bind
