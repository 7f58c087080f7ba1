using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Drives;

namespace Librarian.Functions.Api;

/// <summary>Answers that the endpoints of drives share.</summary>
internal static class DriveAnswers
{
    /// <summary>Media type of manifests and receipts.</summary>
    internal const string ManifestType = "application/x-ndjson";

    /// <summary>The response to a command; a refusal's code determines the status.</summary>
    internal static IResult Of(HttpRequest request, DriveAnswer answer, int success = StatusCodes.Status200OK) =>
        answer.IsOk
            ? Answers.Json(new DriveDone(answer.Message), success)
            : Answers.Fail(
                request,
                answer.Code switch
                {
                    "drive.unknown" => 404,
                    "drive.exists" or "drive.wrong_state" or "drive.not_reusable" or "drive.busy" or "drive.only_copy" => 409,
                    _ => 400,
                },
                $"{answer.Code}: {answer.Message}",
                ""
            );

    /// <summary>The name of a value in responses.</summary>
    internal static string Wire<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());
}
