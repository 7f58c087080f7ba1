namespace Librarian.Tests.Functions.Documentation;

/// <summary>
/// Fails a test whose site gives an answer that the committed description does not say: every test of the API is one of the description.
/// </summary>
public sealed class DocumentedAnswers : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken);
        await response.Content.LoadIntoBufferAsync(cancellationToken);
        var body = await response.Content.ReadAsStringAsync(cancellationToken);
        var problems = ApiDescription.Committed.Problems(
            request.Method.Method,
            request.RequestUri!.AbsolutePath,
            (int)response.StatusCode,
            response.Content.Headers.ContentType?.MediaType,
            body
        );
        Assert.True(
            problems.Count == 0,
            $"The API description (docs/openapi.json) is wrong about this answer, or the answer is: {string.Join("\n", problems)}"
        );
        return response;
    }
}
