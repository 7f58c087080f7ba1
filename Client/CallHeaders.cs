namespace Librarian.Client;

/// <summary>Adds headers to a site's calls and reads the headers of the responses.</summary>
/// <param name="OfRequestAsync">Makes the headers for a request that is about to be sent.</param>
/// <param name="OfAnswerAsync">
/// Processes the headers of a response before the caller reads its body. The response refers to the request as it was sent.
/// </param>
public sealed record CallHeaders(
    Func<CancellationToken, Task<IReadOnlyList<KeyValuePair<string, string>>>> OfRequestAsync,
    Func<HttpResponseMessage, CancellationToken, Task> OfAnswerAsync
);
