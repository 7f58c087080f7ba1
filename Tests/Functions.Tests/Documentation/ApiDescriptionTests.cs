using System.Text.Json;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Documentation;

/// <summary>The comparison of answers with their description finds what is wrong.</summary>
[Quick]
public class ApiDescriptionTests
{
    private const string Hit =
        """{"name":"n","create_time":"2026-01-02T03:04:05","size":1,"checksum":"c","uploader":"u","source":"s","instances":"""
        + """[],"remote_instances":[]}""";

    [Theory]
    [InlineData("/api/v2/search/file", 200, "[" + Hit + "]")]
    [InlineData("/api/v2/search/file", 404, """{"reason":"No files found.","suggested_remedy":"r"}""")]
    [InlineData("/api/v2/clone/stage", 409, """{"detail":"{\"reason\":\"File already exists on librarian.\"}"}""")]
    [InlineData("/api/v2/admin/stores/state_change", 400, """{"reason":"Store other one does not exist.","suggested_remedy":"r"}""")]
    [InlineData("/api/v2/ping", 401, """{"detail":"Not authenticated"}""")]
    [InlineData("/api/v2/no/such/path", 404, """{"detail":"Not Found"}""")]
    [InlineData("/durable/v1/instances/a%2Fb/terminate", 202, "")]
    public void Problems_AnswerAsDescribed_AreNone(string path, int status, string body) =>
        Assert.Empty(ApiDescription.Committed.Problems("POST", path, status, "application/json", body));

    [Theory]
    [InlineData("/api/v2/search/file", 418, "{}", "is not described")]
    [InlineData("/api/v2/unknown", 200, "{}", "is not described")]
    [InlineData("/api/v2/search/file", 404, """{"reason":"Nothing.","suggested_remedy":"r"}""", "has the reason 'Nothing.'")]
    [InlineData("/api/v2/clone/stage", 409, """{"detail":"{\"reason\":\"Full.\"}"}""", "has the reason 'Full.'")]
    [InlineData("/api/v2/search/file", 404, """{"reason":"No files found."}""", "lacks suggested_remedy")]
    [InlineData("/api/v2/search/file", 200, """[{"name":"n"}]""", "lacks size")]
    [InlineData("/api/v2/users/get", 200, """{"username":"u","permission":7}""", "not one of")]
    [InlineData("/api/v2/users/get", 200, """{"username":"u","permission":"ADMIN"}""", "not integer")]
    [InlineData("/api/v2/users/get", 200, """{"username":null,"permission":1}""", "not string")]
    [InlineData("/api/v2/users/get", 200, """{"username":"u","permission":1,"email":"e"}""", "email is not described")]
    [InlineData("/api/v2/error/clear", 200, """{"id":1,"cleared_time":"2026-01-02T03:04:05Z","cleared":true}""", "does not match")]
    [InlineData("/api/v2/checkin/status", 200, """{"source_transfer_status":{"1":9},"destination_transfer_status":{}}""", "does not fit")]
    [InlineData("/api/v2/upload/commit", 200, "{}", "without a body")]
    public void Problems_AnswerOtherwise_AreNamed(string path, int status, string body, string problem) =>
        Assert.Contains(ApiDescription.Committed.Problems("POST", path, status, "application/json", body), p =>
            p.Contains(problem, StringComparison.Ordinal)
        );

    [Fact]
    public void Check_UnknownKeyword_IsAProblem()
    {
        var document = JsonDocument.Parse("""{"const":5}""").RootElement;

        Assert.Equal(
            ["x: the keyword const is not known to this check"],
            new SchemaCheck(document).Check(document, JsonDocument.Parse("5").RootElement, "x")
        );
    }
}
