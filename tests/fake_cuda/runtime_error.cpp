// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <utility>

#include "world.hpp"

using namespace fake_cuda::inside;

namespace {

#define NAME(code) \
  { code, #code }
constexpr std::pair<cudaError_t, const char*> kNames[] = {
    NAME(cudaSuccess),
    NAME(cudaErrorInvalidValue),
    NAME(cudaErrorMemoryAllocation),
    NAME(cudaErrorInitializationError),
    NAME(cudaErrorCudartUnloading),
    NAME(cudaErrorProfilerDisabled),
    NAME(cudaErrorProfilerNotInitialized),
    NAME(cudaErrorProfilerAlreadyStarted),
    NAME(cudaErrorProfilerAlreadyStopped),
    NAME(cudaErrorInvalidConfiguration),
    NAME(cudaErrorInvalidPitchValue),
    NAME(cudaErrorInvalidSymbol),
    NAME(cudaErrorInvalidHostPointer),
    NAME(cudaErrorInvalidDevicePointer),
    NAME(cudaErrorInvalidTexture),
    NAME(cudaErrorInvalidTextureBinding),
    NAME(cudaErrorInvalidChannelDescriptor),
    NAME(cudaErrorInvalidMemcpyDirection),
    NAME(cudaErrorAddressOfConstant),
    NAME(cudaErrorTextureFetchFailed),
    NAME(cudaErrorTextureNotBound),
    NAME(cudaErrorSynchronizationError),
    NAME(cudaErrorInvalidFilterSetting),
    NAME(cudaErrorInvalidNormSetting),
    NAME(cudaErrorMixedDeviceExecution),
    NAME(cudaErrorNotYetImplemented),
    NAME(cudaErrorMemoryValueTooLarge),
    NAME(cudaErrorStubLibrary),
    NAME(cudaErrorInsufficientDriver),
    NAME(cudaErrorCallRequiresNewerDriver),
    NAME(cudaErrorInvalidSurface),
    NAME(cudaErrorDuplicateVariableName),
    NAME(cudaErrorDuplicateTextureName),
    NAME(cudaErrorDuplicateSurfaceName),
    NAME(cudaErrorDevicesUnavailable),
    NAME(cudaErrorIncompatibleDriverContext),
    NAME(cudaErrorMissingConfiguration),
    NAME(cudaErrorPriorLaunchFailure),
    NAME(cudaErrorLaunchMaxDepthExceeded),
    NAME(cudaErrorLaunchFileScopedTex),
    NAME(cudaErrorLaunchFileScopedSurf),
    NAME(cudaErrorSyncDepthExceeded),
    NAME(cudaErrorLaunchPendingCountExceeded),
    NAME(cudaErrorInvalidDeviceFunction),
    NAME(cudaErrorNoDevice),
    NAME(cudaErrorInvalidDevice),
    NAME(cudaErrorDeviceNotLicensed),
    NAME(cudaErrorSoftwareValidityNotEstablished),
    NAME(cudaErrorStartupFailure),
    NAME(cudaErrorInvalidKernelImage),
    NAME(cudaErrorDeviceUninitialized),
    NAME(cudaErrorMapBufferObjectFailed),
    NAME(cudaErrorUnmapBufferObjectFailed),
    NAME(cudaErrorArrayIsMapped),
    NAME(cudaErrorAlreadyMapped),
    NAME(cudaErrorNoKernelImageForDevice),
    NAME(cudaErrorAlreadyAcquired),
    NAME(cudaErrorNotMapped),
    NAME(cudaErrorNotMappedAsArray),
    NAME(cudaErrorNotMappedAsPointer),
    NAME(cudaErrorECCUncorrectable),
    NAME(cudaErrorUnsupportedLimit),
    NAME(cudaErrorDeviceAlreadyInUse),
    NAME(cudaErrorPeerAccessUnsupported),
    NAME(cudaErrorInvalidPtx),
    NAME(cudaErrorInvalidGraphicsContext),
    NAME(cudaErrorNvlinkUncorrectable),
    NAME(cudaErrorJitCompilerNotFound),
    NAME(cudaErrorUnsupportedPtxVersion),
    NAME(cudaErrorJitCompilationDisabled),
    NAME(cudaErrorUnsupportedExecAffinity),
    NAME(cudaErrorUnsupportedDevSideSync),
    NAME(cudaErrorContained),
    NAME(cudaErrorInvalidSource),
    NAME(cudaErrorFileNotFound),
    NAME(cudaErrorSharedObjectSymbolNotFound),
    NAME(cudaErrorSharedObjectInitFailed),
    NAME(cudaErrorOperatingSystem),
    NAME(cudaErrorInvalidResourceHandle),
    NAME(cudaErrorIllegalState),
    NAME(cudaErrorLossyQuery),
    NAME(cudaErrorSymbolNotFound),
    NAME(cudaErrorNotReady),
    NAME(cudaErrorIllegalAddress),
    NAME(cudaErrorLaunchOutOfResources),
    NAME(cudaErrorLaunchTimeout),
    NAME(cudaErrorLaunchIncompatibleTexturing),
    NAME(cudaErrorPeerAccessAlreadyEnabled),
    NAME(cudaErrorPeerAccessNotEnabled),
    NAME(cudaErrorSetOnActiveProcess),
    NAME(cudaErrorContextIsDestroyed),
    NAME(cudaErrorAssert),
    NAME(cudaErrorTooManyPeers),
    NAME(cudaErrorHostMemoryAlreadyRegistered),
    NAME(cudaErrorHostMemoryNotRegistered),
    NAME(cudaErrorHardwareStackError),
    NAME(cudaErrorIllegalInstruction),
    NAME(cudaErrorMisalignedAddress),
    NAME(cudaErrorInvalidAddressSpace),
    NAME(cudaErrorInvalidPc),
    NAME(cudaErrorLaunchFailure),
    NAME(cudaErrorCooperativeLaunchTooLarge),
    NAME(cudaErrorTensorMemoryLeak),
    NAME(cudaErrorNotPermitted),
    NAME(cudaErrorNotSupported),
    NAME(cudaErrorSystemNotReady),
    NAME(cudaErrorSystemDriverMismatch),
    NAME(cudaErrorCompatNotSupportedOnDevice),
    NAME(cudaErrorMpsConnectionFailed),
    NAME(cudaErrorMpsRpcFailure),
    NAME(cudaErrorMpsServerNotReady),
    NAME(cudaErrorMpsMaxClientsReached),
    NAME(cudaErrorMpsMaxConnectionsReached),
    NAME(cudaErrorMpsClientTerminated),
    NAME(cudaErrorCdpNotSupported),
    NAME(cudaErrorCdpVersionMismatch),
    NAME(cudaErrorStreamCaptureUnsupported),
    NAME(cudaErrorStreamCaptureInvalidated),
    NAME(cudaErrorStreamCaptureMerge),
    NAME(cudaErrorStreamCaptureUnmatched),
    NAME(cudaErrorStreamCaptureUnjoined),
    NAME(cudaErrorStreamCaptureIsolation),
    NAME(cudaErrorStreamCaptureImplicit),
    NAME(cudaErrorCapturedEvent),
    NAME(cudaErrorStreamCaptureWrongThread),
    NAME(cudaErrorTimeout),
    NAME(cudaErrorGraphExecUpdateFailure),
    NAME(cudaErrorExternalDevice),
    NAME(cudaErrorInvalidClusterSize),
    NAME(cudaErrorFunctionNotLoaded),
    NAME(cudaErrorInvalidResourceType),
    NAME(cudaErrorInvalidResourceConfiguration),
    NAME(cudaErrorUnknown),
};
#undef NAME

}  // namespace

extern "C" {

cudaError_t cudaGetLastError() {
  const std::lock_guard lock(world().mutex);
  const cudaError_t error = thread().last_error;
  if (error != cudaErrorIllegalAddress || world().lost != thread().device) thread().last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  const auto* const found =
      std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& row) { return row.first == error; });
  return found == std::end(kNames) ? "unrecognized error code" : found->second;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInitializationError:
      return "initialization error";
    case cudaErrorCudartUnloading:
      return "driver shutting down";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorSystemDriverMismatch:
      return "system has unsupported display driver / cuda driver combination";
    case cudaErrorCompatNotSupportedOnDevice:
      return "forward compatibility was attempted on non supported HW";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorUnknown:
      return "unknown error";
    default:
      return cudaGetErrorName(error);
  }
}

}  // extern "C"
