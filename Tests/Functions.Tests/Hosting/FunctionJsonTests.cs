using System.Text.Json.Nodes;
using Librarian.Functions.Hosting;
using Microsoft.Extensions.Configuration;

namespace Librarian.Tests.Functions.Hosting;

public sealed class FunctionJsonTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("function-json-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task WriteAsync_HttpFunction_HasTriggerAndOutput()
    {
        await FunctionJson.WriteAsync(FunctionCatalog.Discover([typeof(FunctionCatalogTests.Valid)]), _directory);

        var expected = JsonNode.Parse("""
            { "bindings": [
              { "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", "methods": ["post", "put"], "route": "api/v2/item/{id:int}" },
              { "type": "http", "direction": "out", "name": "res" } ] }
            """);
        Assert.Equal(expected!.ToJsonString(), Read("Save").ToJsonString());
        Assert.Equal("{ignored:maxlength(0)?}", (string?)Read("root")["bindings"]![0]!["route"]);
    }

    [Fact]
    public async Task WriteAsync_TimerFunction_LeavesMonitoringAndStartupRunsToTheSite()
    {
        await FunctionJson.WriteAsync(FunctionCatalog.Discover([typeof(FunctionCatalogTests.Valid)]), _directory);

        var expected = JsonNode.Parse("""
            { "bindings": [ { "type": "timerTrigger", "direction": "in", "name": "timer", "schedule": "%Schedules:Clean%", "runOnStartup": false, "useMonitor": false } ] }
            """);
        Assert.Equal(expected!.ToJsonString(), Read("Clean").ToJsonString());
    }

    [Fact]
    public async Task WriteAsync_DefaultOfASetting_IsWritten()
    {
        var defaults = new ConfigurationBuilder().AddInMemoryCollection([new("Schedules:Clean", "0 0 4 * * *")]).Build();

        await FunctionJson.WriteAsync(FunctionCatalog.Discover([typeof(FunctionCatalogTests.Valid)]), _directory, defaults);

        Assert.Equal("0 0 4 * * *", (string?)Read("Clean")["bindings"]![0]!["schedule"]);
    }

    [Fact]
    public async Task WriteAsync_Again_RemovesOnlyFunctionsThatAreNoMore()
    {
        await FunctionJson.WriteAsync(FunctionCatalog.Discover([typeof(FunctionCatalogTests.ConstraintKeepsApart)]), _directory);
        var foreign = Directory.CreateDirectory(Path.Combine(_directory, "foreign")).FullName;
        await File.WriteAllTextAsync(Path.Combine(foreign, "function.json"), "{}");
        await File.WriteAllTextAsync(Path.Combine(foreign, "run.js"), "");

        await FunctionJson.WriteAsync(FunctionCatalog.Discover([typeof(FunctionCatalogTests.Valid)]), _directory);

        Assert.Equal(["Clean", "Get", "Save", "foreign", "root"], Directory.GetDirectories(_directory).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task WriteAsync_NameOfAFileOfTheApp_IsRefused()
    {
        await File.WriteAllTextAsync(Path.Combine(_directory, "Save"), "");

        var exception = await Assert.ThrowsAsync<IOException>(() => FunctionJson.WriteAsync(FunctionCatalog.Discover([typeof(FunctionCatalogTests.Valid)]), _directory));

        Assert.Contains("'Save'", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TryRunVerbAsync_OtherVerb_IsLeftAlone() =>
        Assert.Null(await FunctionJson.TryRunVerbAsync(["migrate"], typeof(FunctionJson).Assembly));

    private JsonNode Read(string function) => JsonNode.Parse(File.ReadAllText(Path.Combine(_directory, function, "function.json")))!;
}
