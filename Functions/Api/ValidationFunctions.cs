using Librarian.Client.Wire;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Validation;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>Verification of a file's copies, here and at peers (docs/spec/wire.md#validate-file).</summary>
[Tags("Validation")]
public sealed class ValidationFunctions(FileValidator validator)
{
    /// <summary>Verifies every copy here, and asks peers to verify theirs. The answer may take as long as reading all copies.</summary>
    [Function("ValidateFile"), Requires(AuthLevel.ReadOnly)]
    [ReadsHeader(
        NetworkValidation.AskedHeader,
        "Sites that the question has reached, separated by commas and percent-encoded; they are not asked again."
    )]
    [Responds<IReadOnlyList<FileValidation>>(200, "One entry per copy that could be read.")]
    [RespondsHeader(
        200,
        NetworkValidation.UnreachableHeader,
        "Sites that hold copies but gave no answer, or could not read some of them, in the same form; absent when all were read."
    )]
    [Refuses<Failure>(400, Reasons.FileUnknown)]
    public async Task<IResult> ValidateAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.ValidateFile)] HttpRequest request,
        [FromBody] ValidateFileRequest body,
        CancellationToken cancellationToken
    )
    {
        var asked = NetworkValidation.Split(request.Headers[NetworkValidation.AskedHeader]);
        if (await validator.ValidateAsync(body.FileName, asked, cancellationToken) is not { } found)
            return Answers.Fail(request, 400, Reasons.FileUnknown, "Check the name, which must match exactly.");
        if (found.Unreachable.Count > 0)
            request.HttpContext.Response.Headers[NetworkValidation.UnreachableHeader] = NetworkValidation.Join(found.Unreachable);
        return Answers.Json(found.Copies);
    }
}
