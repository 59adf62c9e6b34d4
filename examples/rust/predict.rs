// SPDX-License-Identifier: Apache-2.0
//! A model from Rust, without a crate: `predict MODEL INPUT.npy EXPECTED.npy` computes the outputs and compares them with the expected
//! ones. For models of float32 with one input and one output. Compile it with
//! `rustc --edition 2021 predict.rs -L native=FOLDER_OF_LIBLAMELLA -l lamella`.

use std::ffi::{c_char, c_void, CStr, CString};
use std::{env, fs, mem, process, ptr};

/// What is needed of lamella/lamella.h.
mod c {
    use super::{c_char, c_void};

    pub const ABI_VERSION: i32 = 1;
    pub const FLOAT32: i32 = 0;
    pub const CPU: i32 = 1;

    #[repr(C)]
    pub struct Tensor {
        pub struct_size: usize,
        pub data: *mut c_void,
        pub dtype: i32,
        pub ndim: i32,
        pub shape: *const i64,
        pub strides: *const i64,
        pub device_type: i32,
        pub device_index: i32,
    }
    #[repr(C)]
    pub struct Error([u8; 0]);
    #[repr(C)]
    pub struct Options([u8; 0]);
    #[repr(C)]
    pub struct Model([u8; 0]);

    extern "C" {
        pub fn lamella_abi_version() -> i32;
        pub fn lamella_error_message(error: *const Error) -> *const c_char;
        pub fn lamella_error_free(error: *mut Error);
        pub fn lamella_options_create(options: *mut *mut Options) -> *mut Error;
        pub fn lamella_options_set(options: *mut Options, name: *const c_char, value: *const c_char) -> *mut Error;
        pub fn lamella_options_free(options: *mut Options);
        pub fn lamella_model_load(path: *const c_char, options: *const Options, model: *mut *mut Model) -> *mut Error;
        pub fn lamella_model_free(model: *mut Model);
        pub fn lamella_model_output(model: *const Model, index: i32, what: *mut Tensor) -> *mut Error;
        pub fn lamella_model_predict(
            model: *const Model,
            inputs: *const Tensor,
            input_count: usize,
            outputs: *const Tensor,
            output_count: usize,
        ) -> *mut Error;
    }
}

/// Frees an error and returns its message.
fn check(error: *mut c::Error) -> Result<(), String> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours until it is freed, and so is its message.
    unsafe {
        let message = CStr::from_ptr(c::lamella_error_message(error)).to_string_lossy().into_owned();
        c::lamella_error_free(error);
        Err(message)
    }
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} contains NUL"))
}

/// An array of the caller's for the duration of a call.
fn tensor(data: *mut f32, shape: &[i64]) -> c::Tensor {
    c::Tensor {
        struct_size: mem::size_of::<c::Tensor>(),
        data: data.cast(),
        dtype: c::FLOAT32,
        ndim: shape.len() as i32,
        shape: shape.as_ptr(),
        strides: ptr::null(),
        device_type: c::CPU,
        device_index: 0,
    }
}

struct Options(*mut c::Options);

impl Options {
    fn new(settings: &[(&str, &str)]) -> Result<Options, String> {
        let mut options = Options(ptr::null_mut());
        check(unsafe { c::lamella_options_create(&mut options.0) })?;
        for (name, value) in settings {
            let (name, value) = (c_string(name)?, c_string(value)?);
            check(unsafe { c::lamella_options_set(options.0, name.as_ptr(), value.as_ptr()) })?;
        }
        Ok(options)
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        unsafe { c::lamella_options_free(self.0) }
    }
}

struct Model(*mut c::Model);

// SAFETY: any number of threads may use a model at once, as long as nobody updates its weights; nothing here does.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    fn load(path: &str, options: &Options) -> Result<Model, String> {
        let mut model = Model(ptr::null_mut());
        check(unsafe { c::lamella_model_load(c_string(path)?.as_ptr(), options.0, &mut model.0) })?;
        Ok(model)
    }

    /// Predicts `x` of this shape, rows first. Returns the output in C order.
    fn predict(&self, x: &[f32], shape: &[i64]) -> Result<Vec<f32>, String> {
        if shape.iter().product::<i64>() != x.len() as i64 {
            return Err(format!("{} elements do not have the shape {shape:?}", x.len()));
        }
        let mut what = tensor(ptr::null_mut(), &[]);
        check(unsafe { c::lamella_model_output(self.0, 0, &mut what) })?;
        // SAFETY: the shape belongs to the model.
        let mut to = unsafe { std::slice::from_raw_parts(what.shape, what.ndim as usize) }.to_vec();
        to[0] = shape.first().copied().unwrap_or(0);
        if what.dtype != c::FLOAT32 || to.iter().any(|&extent| extent < 0) {
            return Err(format!("the output has dtype {} and shape {to:?}; this program takes float32 and no open extents", what.dtype));
        }
        let mut y = vec![0.0; to.iter().product::<i64>() as usize];
        let input = tensor(x.as_ptr().cast_mut(), shape); // inputs are never written
        let output = tensor(y.as_mut_ptr(), &to);
        check(unsafe { c::lamella_model_predict(self.0, &input, 1, &output, 1) })?;
        Ok(y)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        unsafe { c::lamella_model_free(self.0) }
    }
}

/// The values and the shape of a file of little-endian float32 in C order.
fn load_npy(path: &str) -> Result<(Vec<f32>, Vec<i64>), String> {
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let other = || format!("{path}: is not version 1 of npy with float32 in C order");
    if bytes.len() < 10 || !bytes.starts_with(b"\x93NUMPY\x01") {
        return Err(other());
    }
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(bytes.get(10..start).ok_or_else(other)?);
    if !header.contains("'<f4'") || !header.contains("'fortran_order': False") {
        return Err(other());
    }
    let extents = header.split("'shape': (").nth(1).and_then(|rest| rest.split(')').next()).ok_or_else(other)?;
    let shape = extents.split(',').map(str::trim).filter(|e| !e.is_empty()).map(str::parse).collect::<Result<Vec<i64>, _>>();
    let values = bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((values, shape.map_err(|_| other())?))
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [_, model, input, expected] = arguments else {
        return Err("usage: predict MODEL INPUT.npy EXPECTED.npy".to_string());
    };
    if unsafe { c::lamella_abi_version() } != c::ABI_VERSION {
        return Err("this program was compiled for another version of the library".to_string());
    }
    let model = Model::load(model, &Options::new(&[("device", "cpu")])?)?;
    let (x, shape) = load_npy(input)?;
    let y = model.predict(&x, &shape)?;
    let (wanted, _) = load_npy(expected)?;
    if y.len() != wanted.len() {
        return Err(format!("got {} values, expected {}", y.len(), wanted.len()));
    }
    for (i, (got, wanted)) in y.iter().zip(&wanted).enumerate() {
        if (got - wanted).abs() <= 1e-5 {
            continue; // NaN is not
        }
        return Err(format!("value {i}: got {got}, expected {wanted}"));
    }
    println!("{} values are as expected", y.len());
    Ok(())
}

fn main() {
    if let Err(message) = run(&env::args().collect::<Vec<_>>()) {
        eprintln!("{message}");
        process::exit(1);
    }
}
