using Librarian.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;

namespace Librarian.Tests.Functions.Hosting;

[Quick]
public sealed class FunctionCatalogTests
{
    [Fact]
    public void Discover_ValidFunctions_AreListedInOrderOfNames()
    {
        var catalog = FunctionCatalog.Discover([typeof(Valid)]);

        Assert.Equal(["Get", "root", "Save"], catalog.HttpFunctions.Select(f => f.Name));
        var save = catalog.HttpFunctions[2];
        Assert.Equal("api/v2/item/{id:int}", save.Route);
        Assert.Equal(["POST", "PUT"], save.Methods);
        Assert.Equal("Get", catalog.HttpFunctions[0].Route);
        var timer = Assert.Single(catalog.TimerFunctions);
        Assert.Equal(
            new TimerFunction("Clean", typeof(Valid).GetMethod(nameof(Valid.Clean))!, "%Schedules:Clean%", RunOnStartup: true),
            timer
        );
    }

    [Theory]
    [InlineData(typeof(BadName), "letter")]
    [InlineData(typeof(HostName), "'host'")]
    [InlineData(typeof(NoTrigger), "0 trigger parameters")]
    [InlineData(typeof(TwoTriggers), "2 trigger parameters")]
    [InlineData(typeof(NotPublic), "not a public")]
    [InlineData(typeof(AsyncVoid), "async void")]
    [InlineData(typeof(KeyLevel), "AuthorizationLevel.Function")]
    [InlineData(typeof(NoMethods), "no HTTP method")]
    [InlineData(typeof(OddMethod), "'BREW'")]
    [InlineData(typeof(NoRequest), "no HttpRequest")]
    [InlineData(typeof(LeadingSlash), "starts or ends with '/'")]
    [InlineData(typeof(CatchAll), "fixed segment")]
    [InlineData(typeof(ParameterFirst), "fixed segment")]
    [InlineData(typeof(AdminRoute), "'Admin'")]
    [InlineData(typeof(RuntimeRoute), "'runtime'")]
    [InlineData(typeof(BrokenRoute), "not a route template")]
    [InlineData(typeof(BadCron), "not valid NCRONTAB")]
    [InlineData(typeof(TimerWithService), "parameter 'services'")]
    [InlineData(typeof(TimerReturningValue), "returns Int32")]
    [InlineData(typeof(SameName), "is used by")]
    [InlineData(typeof(Monitored), "needs Azure storage")]
    [InlineData(typeof(SameRoute), "neither is more specific")]
    [InlineData(typeof(GeneralSortsFirst), "rename 'Zebra' to sort before 'Alpha'")]
    public void Discover_BrokenRule_NamesMethodAndMend(Type type, string expected)
    {
        var exception = Assert.Throws<FunctionDiscoveryException>(() => FunctionCatalog.Discover([type]));

        var error = Assert.Single(exception.Errors);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Contains($"{type.FullName}.", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Discover_SeveralMistakes_ReportsAll()
    {
        var exception = Assert.Throws<FunctionDiscoveryException>(() => FunctionCatalog.Discover([typeof(BadName), typeof(BadCron)]));

        Assert.Equal(2, exception.Errors.Count);
    }

    [Theory]
    [InlineData(typeof(SpecificSortsFirst))]
    [InlineData(typeof(OverlapWithOtherMethods))]
    [InlineData(typeof(ConstraintKeepsApart))]
    [InlineData(typeof(DifferentLengths))]
    public void Discover_RoutesThatMeanTheSameEverywhere_AreAccepted(Type type) =>
        Assert.Equal(2, FunctionCatalog.Discover([type]).HttpFunctions.Count);

    [Theory]
    [InlineData("AzureWebJobs.Clean.Disabled", "true", true)]
    [InlineData("AzureWebJobs:Clean:Disabled", "true", true)]
    [InlineData("AzureWebJobs.Clean.Disabled", "false", false)]
    [InlineData("AzureWebJobs.Other.Disabled", "true", false)]
    public void IsDisabled_SettingOfTheFunctionsHost_IsHonoured(string key, string value, bool expected)
    {
        var function = FunctionCatalog.Discover([typeof(Valid)]).TimerFunctions[0];

        Assert.Equal(expected, function.IsDisabled(new ConfigurationBuilder().AddInMemoryCollection([new(key, value)]).Build()));
    }

    public sealed class Valid
    {
        [Function("Save")]
        public IResult Save(
            [HttpTrigger(AuthorizationLevel.Anonymous, "post", "put", Route = "api/v2/item/{id:int}")] HttpRequest request,
            int id
        ) => Results.Ok(id);

        [Function("Get")]
        public string Get([HttpTrigger(AuthorizationLevel.Anonymous, "get")] HttpRequest request) => "";

        [Function("root")]
        public string Root([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = FunctionRoute.Root)] HttpRequest request) => "";

        [Function("Clean")]
        public Task Clean([TimerTrigger("%Schedules:Clean%", RunOnStartup = true, UseMonitor = false)] TimerInfo timer) =>
            Task.CompletedTask;

        public void NoFunction() { }
    }

    public sealed class BadName
    {
        [Function("1st")]
        public void Run([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer) { }
    }

    public sealed class HostName
    {
        [Function("Host")]
        public void Run([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer) { }
    }

    public sealed class NoTrigger
    {
        [Function("A")]
        public void Run(TimerInfo timer) { }
    }

    public sealed class TwoTriggers
    {
        [Function("A")]
        public void Run(
            [TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer,
            [HttpTrigger(AuthorizationLevel.Anonymous, "get")] HttpRequest request
        ) { }
    }

    public sealed class NotPublic
    {
        [Function("A")]
        internal void Run([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer) { }
    }

    public sealed class AsyncVoid
    {
        [Function("A")]
#pragma warning disable MA0155, AZFW0002 // the mistake under test
        public async void Run([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer) => await Task.Yield();
#pragma warning restore MA0155, AZFW0002
    }

    public sealed class KeyLevel
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Function, "get")] HttpRequest request) => "";
    }

    public sealed class NoMethods
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, Route = "api/x")] HttpRequest request) => "";
    }

    public sealed class OddMethod
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "brew")] HttpRequest request) => "";
    }

    public sealed class NoRequest
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "get")] string request) => "";
    }

    public sealed class LeadingSlash
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "/api/x")] HttpRequest request) => "";
    }

    public sealed class CatchAll
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "{*path}")] HttpRequest request) => "";
    }

    public sealed class ParameterFirst
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "{tenant}/x")] HttpRequest request) => "";
    }

    public sealed class AdminRoute
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "Admin/x")] HttpRequest request) => "";
    }

    public sealed class RuntimeRoute
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "runtime/webhooks/x")] HttpRequest request) => "";
    }

    public sealed class BrokenRoute
    {
        [Function("A")]
        public string Run([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/{id")] HttpRequest request) => "";
    }

    public sealed class BadCron
    {
        [Function("A")]
        public void Run([TimerTrigger("0 0 25 * * *", UseMonitor = false)] TimerInfo timer) { }
    }

    public sealed class TimerWithService
    {
        [Function("A")]
        public void Run([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer, IServiceProvider services) { }
    }

    public sealed class TimerReturningValue
    {
        [Function("A")]
        public int Run([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer) => 1;
    }

    public sealed class SameName
    {
        [Function("A")]
        public void Run([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer) { }

        [Function("a")]
        public void Again([TimerTrigger("00:01:00", UseMonitor = false)] TimerInfo timer) { }
    }

    public sealed class Monitored
    {
        [Function("A")]
        public void Run([TimerTrigger("00:01:00")] TimerInfo timer) { }
    }

    public sealed class SameRoute
    {
        [Function("A")]
        public string First([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/{name}")] HttpRequest request) => "";

        [Function("B")]
        public string Second([HttpTrigger(AuthorizationLevel.Anonymous, "get", "put", Route = "api/{id}")] HttpRequest request) => "";
    }

    public sealed class GeneralSortsFirst
    {
        [Function("Alpha")]
        public string General([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/{*path}")] HttpRequest request) => "";

        [Function("Zebra")]
        public string Specific([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/count")] HttpRequest request) => "";
    }

    public sealed class SpecificSortsFirst
    {
        [Function("Zebra")]
        public string General([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/{*path}")] HttpRequest request) => "";

        [Function("alpha")]
        public string Specific([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/count")] HttpRequest request) => "";
    }

    public sealed class OverlapWithOtherMethods
    {
        [Function("A")]
        public string Get([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/item")] HttpRequest request) => "";

        [Function("B")]
        public string Put([HttpTrigger(AuthorizationLevel.Anonymous, "put", Route = "api/item")] HttpRequest request) => "";
    }

    public sealed class ConstraintKeepsApart
    {
        [Function("A")]
        public string ById([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/{id:int}")] HttpRequest request) => "";

        [Function("B")]
        public string Count([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/count")] HttpRequest request) => "";
    }

    public sealed class DifferentLengths
    {
        [Function("A")]
        public string One([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/{id}")] HttpRequest request) => "";

        [Function("B")]
        public string Two([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/{id}/parts")] HttpRequest request) => "";
    }
}
